/*
 * zbctl_test.c - the command-line tool as a user runs it, at our server and at memcached.
 *
 * A case is a list of command lines; of each, exit status and what it prints are looked at. No
 * case depends on how fast anything is: what waits is ended by a signal once it was seen.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "tests/instrumented.h"
#include "tests/tls/certs.h"
#include "tests/wire/peer.h"

#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define OUTPUT_BYTES 65536u
#define WAIT_S       240 /* reached only where something is wrong */

struct stage {
    const char *server;
    const char *zbctl;
    const char *ours; /* which estimate starts */
    struct peer *peer, *other;
    struct client *client; /* of peer */
    uint16_t port, other_port;
    char folder[32];
    char output[OUTPUT_BYTES]; /* of zbctl's, stderr too */
};

static uint16_t port_of(struct peer *peer, struct client *client)
{
    uint64_t port = 0;
    enum client_status status = peer_connect(peer, client);

    if (status == CLIENT_OK)
        status = client_stats(client, "settings");
    while (status == CLIENT_OK) {
        struct client_stat stat;

        status = client_read_stat(client, &stat);
        if (status == CLIENT_OK && stat.name.bytes == 7 &&
            memcmp(stat.name.data, "tcpport", 7) == 0)
            port = strtoul((const char *)stat.value.data, NULL, 10);
    }
    assert_int_equal(status, CLIENT_END);
    assert_true(port > 0);
    return (uint16_t)port;
}

static void start(struct stage *stage, enum peer_way way)
{
    char error[PEER_ERROR_BYTES] = "";

    stage->peer = peer_start(stage->server, "-m 64", way, error);
    if (stage->peer == NULL)
        fail_msg("%s: %s", stage->server, error);
    stage->port = port_of(stage->peer, stage->client);
}

static int set_up_bare(void **state)
{
    struct stage *stage = *state;

    stage->peer = stage->other = NULL;
    stage->client = client_new();
    assert_non_null(stage->client);
    memcpy(stage->folder, "/tmp/zbctl_test.XXXXXX", 23);
    assert_non_null(mkdtemp(stage->folder));
    return setenv("S", stage->ours, 1) | setenv("D", stage->folder, 1) |
           setenv("HOME", stage->folder, 1) | unsetenv("XDG_STATE_HOME");
}

static int set_up(void **state)
{
    (void)set_up_bare(state);
    start(*state, PEER_TCP);
    return 0;
}

static int tear_down(void **state)
{
    struct stage *stage = *state;
    char command[64];

    client_free(stage->client);
    peer_kill(stage->peer);
    peer_kill(stage->other);
    (void)snprintf(command, sizeof(command), "rm -rf %s", stage->folder);
    return system(command);
}

/* Runs a shell's line; its exit status. $B is zbctl, $Z and $Y the same with the servers'
 * addresses, $P and $O their ports. */
static int run(struct stage *stage, const char *line)
{
    char command[1536];
    size_t bytes;
    FILE *pipe;
    int status;

    (void)snprintf(command, sizeof(command),
                   "P=%u O=%u B=\"$PWD/%s\"; Z=\"$B -s 127.0.0.1:$P -t 60\" "
                   "Y=\"$B -s 127.0.0.1:$O -t 60\"; { %s\n} 2>&1",
                   (unsigned)stage->port, (unsigned)stage->other_port, stage->zbctl, line);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    bytes = fread(stage->output, 1, sizeof(stage->output) - 1, pipe);
    stage->output[bytes] = '\0';
    status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect(struct stage *stage, const char *line, int code, const char *output)
{
    int got = run(stage, line);

    if (got != code || strcmp(stage->output, output) != 0)
        fail_msg("%s: exit status %d, \"%s\"; not %d, \"%s\"", line, got, stage->output, code,
                 output);
}

/* The same where some text must be in the output. */
static void find(struct stage *stage, const char *line, int code, const char *text)
{
    int got = run(stage, line);

    if (got != code || strstr(stage->output, text) == NULL)
        fail_msg("%s: exit status %d, \"%s\"; not %d with \"%s\"", line, got, stage->output, code,
                 text);
}

/* ---- one item ---- */

static void items(void **state)
{
    struct stage *stage = *state;

    expect(stage, "$Z set greeting hello", 0, "");
    expect(stage, "$Z get greeting", 0, "hello\n");
    expect(stage, "$Z add greeting other", 1, "zbctl: greeting: not stored\n");
    expect(stage, "$Z get nothing", 1, "zbctl: nothing: not found\n");
    expect(stage, "$Z set n -- -5; $Z set n 5 100 7 && $Z incr n && $Z incr n 10 && $Z decr n 20",
           0, "6\n16\n0\n");
    expect(stage, "$Z get greeting nothing n", 1,
           "zbctl: 1 of 3 not found\ngreeting\thello\nn\t0 \n");
    expect(stage, "$Z touch greeting 1000 && $Z touch nothing 5", 1, "zbctl: nothing: not found\n");
    expect(stage, "printf 'a\\0\\r\\nb' | $Z set bytes - && $Z get bytes | od -An -c", 0,
           "   a  \\0  \\r  \\n   b  \\n\n");
    expect(stage, "head -c 900000 /dev/zero | $Z set large - && $Z get large | wc -c", 0,
           "900001\n");
    find(stage, "head -c 2000000 /dev/zero | $Z set large -", 1, "too large");
    expect(stage, "$Z delete greeting n nothing", 1, "zbctl: nothing: not found\n");
    find(stage, "$Z ping -c 2", 0, "2 answers in ");
}

static void figures(void **state)
{
    struct stage *stage = *state;

    find(stage, "$Z stats", 0, "limit_maxbytes");
    find(stage, "$Z stats", 0, "67108864  64.0 MiB\n");
    find(stage, "$Z stats settings", 0, "maxconns");
    expect(stage, "$Z stats reset", 0, "");
    expect(stage,
           "$Z stats --json | /usr/bin/python3 -c 'import json, sys; s = json.load(sys.stdin); "
           "print(s[\"limit_maxbytes\"], s[\"version\"][:2])'",
           0, "67108864 1.\n");
    find(stage, "$Z stats nonsense", 1, "refused");
}

static void watching(void **state)
{
    /* It is ended once it has told of the store. */
    find(*state,
         "$Z watch mutations >$D/log & W=$!; while ! grep -q key=seen $D/log; do "
         "$Z set seen 1; done; kill $W; wait $W",
         4, "");
    find(*state, "$Z watch nonsense", 1, "refused");
}

/* ---- all items ---- */

/* Items of every kind: flags, times to live, a key that only base64 carries, a large value. */
static void fill(struct stage *stage)
{
    struct client_meta reply;
    const struct client_slice value = {(const uint8_t *)"binary", 6};

    expect(stage,
           "for i in $(seq 200); do echo set key:$i value-$i 0 $i; done | $Z; "
           "$Z set short 1 100000; $Z set long 1 5000000; "
           "head -c 900000 /dev/urandom >$D/large; $Z set large - <$D/large",
           0, "");
    assert_int_equal(client_queue_meta(stage->client, "ms", "a b\n", 4, &value, "F9"), CLIENT_OK);
    assert_int_equal(client_flush(stage->client), CLIENT_OK);
    assert_int_equal(client_read_meta(stage->client, &reply), CLIENT_OK);
}

/* At port $O, all that fill() stored. memcached's clock stands up to two seconds beside ours. */
static void check_filled(struct stage *stage)
{
    expect(stage, "$Y get key:1 key:200; $Y get large | cmp -n 900000 - $D/large", 0,
           "key:1\tvalue-1\nkey:200\tvalue-200\n");
    expect(stage, "$Y dump | sed 1d | wc -l", 0, "204\n");
    expect(
        stage,
        "$Y dump | awk '$3 == \"short\" && $2 > 90000 && $2 <= 100002 "
        "|| $3 == \"long\" && $2 > 4900000 && $2 <= 5000002 || $3 == \"a%20b%0A\" && $2 == \"-\" "
        "|| $3 == \"key:7\" && $2 == \"-\"' | wc -l",
        0, "4\n");
    expect(stage,
           "printf 'get key:77\\r\\nget large\\r\\nquit\\r\\n' >$D/ask; bash -c 'exec 3<>/dev/tcp/"
           "127.0.0.1/'$O'; cat $D/ask >&3; head -1 <&3'",
           0, "VALUE key:77 77 8\r\n");
}

static void start_other(struct stage *stage)
{
    char error[PEER_ERROR_BYTES] = "";
    struct client *client = client_new();

    stage->other = peer_start(stage->server, "-m 64", PEER_TCP, error);
    if (stage->other == NULL || client == NULL)
        fail_msg("%s: %s", stage->server, error);
    stage->other_port = port_of(stage->other, client);
    client_free(client);
}

static void saving_and_loading(void **state)
{
    struct stage *stage = *state;

    start_other(stage);
    fill(stage);
    expect(stage, "cd $D; $Z save items", 0, "204 items in items\n");
    expect(stage, "$Y load $D/items", 0,
           "204 items stored, 0 were there already, 0 gone meanwhile\n");
    check_filled(stage);
    expect(stage, "$Y load $D/items", 0,
           "0 items stored, 204 were there already, 0 gone meanwhile\n");
    expect(stage, "head -c 5000 $D/items >$D/cut; $Z load $D/cut >/dev/null 2>&1", 5, "");
    find(stage, "$Z load /dev/null", 5, "not written by zbctl save");
    find(stage, "$Z load $D/nowhere", 5, "No such file");
    find(stage, "$Z save $D/nowhere/items", 5, "No such file");
    find(stage, "$Z save $D", 5, "File exists");
    find(stage, "ln -s /dev/full $D/full.part; $Z save $D/full", 5, "No space left");
}

static void warming(void **state)
{
    struct stage *stage = *state;

    start_other(stage);
    fill(stage);
    expect(stage, "$Y set key:7 newer", 0, "");
    find(stage, "$Z warm 127.0.0.1:$P 127.0.0.1:$O --progress", 0,
         "203 items stored, 1 were there already, 0 gone meanwhile\n");
    check_filled(stage);
    expect(stage, "$Y get key:7", 0, "newer\n");
    find(stage, "$Z warm 127.0.0.1:$P 127.0.0.1:$O --overwrite", 0, "204 items stored");
    expect(stage, "$Y get key:7", 0, "value-7\n");
    find(stage, "$Z warm 127.0.0.1:$P /nowhere.sock", 3, "not reachable");
    find(stage,
         "kill -STOP $($Y stats | awk '$1 == \"pid\" { print $2 }'); "
         "$Z -t 1 warm 127.0.0.1:$P 127.0.0.1:$O",
         3, "timed out");
}

/* A sample of all items, and nothing is waited for: what is said of them has the right shape. How
 * true an estimate is, is measured and not tested: clients/README.md. */
static void estimating(void **state)
{
    struct stage *stage = *state;

    expect(
        stage,
        "for i in $(seq 2000); do echo set user:$i \"name=$i,mail=mail$i@example.org,city=here\"; "
        "done | $Z",
        0, "");
    expect(stage,
           "$B estimate 127.0.0.1:$P --settle 0 --zbcached $S --json | /usr/bin/python3 -c '\n"
           "import json, sys\n"
           "e = json.load(sys.stdin)\n"
           "print(e[\"items\"], e[\"sampled\"], e[\"error\"] < .01,"
           " [p[\"prefix\"] for p in e[\"prefixes\"]], "
           "e[\"prefixes\"][0][\"here_bytes\"] > 20000)'",
           0, "2000 2000 True ['user:'] True\n");
    find(stage, "$B estimate 127.0.0.1:$P --settle 0 --zbcached $S", 0,
         "2,000 items were sampled, 100.0 %");
    find(stage, "$B estimate 127.0.0.1:$P --zbcached /nowhere/zbcached", 3, "No such file");
    find(stage, "$B estimate /nowhere.sock", 3, "not reachable");
}

/* ---- access ---- */

static void passwords(void **state)
{
    struct stage *stage = *state;

    start(stage, PEER_LOGIN);
    find(stage, "$Z get a", 1, "unauthenticated");
    expect(stage, "ZBCTL_AUTH=wire:tap $Z set a 1; $Z -a tests/wire/users get a", 0, "1\n");
    find(stage, "ZBCTL_AUTH=wire:wrong $Z get a", 1, "authentication failure");
    find(stage, "ZBCTL_AUTH=wire $Z get a", 2, "user:password");
    find(stage, "$Z -a /dev/null get a", 5, "/dev/null");
}

/* A server that asks for none is told one: it must not keep it. */
static void unasked_passwords(void **state)
{
    struct stage *stage = *state;

    expect(stage, "ZBCTL_AUTH=user:secret $Z set a 1", 0, "");
    expect(stage, "$Z dump | grep -c login", 1, "0\n");
    expect(stage, "$Z get login", 1, "zbctl: login: not found\n");
}

static void secret_connections(void **state)
{
    struct stage *stage = *state;
    char certs[CERTS_PATH_BYTES];

    certs_make(certs);
    assert_int_equal(setenv(PEER_CERTS, certs, 1) | setenv("C", certs, 1), 0);
    start(stage, PEER_TLS);
    expect(stage, "$Z -Z --tls-ca $C/authority.pem set a 1", 0, "");
    expect(stage, "$B -s tls:127.0.0.1:$P --tls-ca $C/authority.pem get a", 0, "1\n");
    expect(stage, "$Z -Z --tls-trust-anybody get a", 0, "1\n");
    find(stage, "$Z -Z get a", 3, "certificate not trusted");
    find(stage, "$Z -Z --tls-ca $C/elsewhere.pem get a", 3, "certificate not trusted");
    find(stage, "$Z -Z --tls-ca $C/authority.pem --tls-name other.example get a", 3,
         "certificate not trusted");
    find(stage, "$Z -Z --tls-ca $C/nowhere.pem get a", 3, "nowhere.pem");
    expect(stage,
           "head -c 900000 /dev/urandom >$D/large; $Z -Z --tls-ca $C/authority.pem set large - "
           "<$D/large; $Z -Z --tls-ca $C/authority.pem get large | cmp -n 900000 - $D/large",
           0, "");
    certs_remove(certs);
}

/* ---- the prompt ---- */

/* libedit takes the terminal out of its line mode when it has written the prompt: an end of file
 * typed before is lost. */
static void await_editing(int terminal)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    struct termios mode;

    for (unsigned i = 0; i < 1000 * WAIT_S; i++) {
        assert_int_equal(tcgetattr(terminal, &mode), 0);
        if ((mode.c_lflag & ICANON) == 0)
            return;
        (void)nanosleep(&moment, NULL);
    }
    fail_msg("the terminal stays in its line mode");
}

/* Reads until the text has come and behind it the prompt; all of it in stage->output. */
static void await(struct stage *stage, int terminal, const char *text)
{
    const char *found = NULL;
    size_t used = 0;

    while (found == NULL || strstr(found + strlen(text), "> ") == NULL) {
        ssize_t got = read(terminal, stage->output + used, OUTPUT_BYTES - 1 - used);

        if (got <= 0)
            fail_msg("no \"%s\" and prompt", text);
        used += (size_t)got;
        stage->output[used] = '\0';
        found = strstr(stage->output, text);
    }
    await_editing(terminal);
}

static void type(int terminal, const char *text)
{
    assert_int_equal(write(terminal, text, strlen(text)), strlen(text));
}

static int open_prompt(struct stage *stage, pid_t *child)
{
    char server[32];
    int terminal;

    (void)snprintf(server, sizeof(server), "127.0.0.1:%u", (unsigned)stage->port);
    *child = forkpty(&terminal, NULL, NULL, NULL);
    assert_true(*child >= 0);
    if (*child == 0) {
        (void)alarm(WAIT_S);
        (void)setenv("TERM", "xterm", 1);
        /* libedit never frees the names that EL_ADDFN copies. */
        (void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
        (void)execl(stage->zbctl, stage->zbctl, "-s", server, "-t", "60", (char *)NULL);
        _exit(127);
    }
    return terminal;
}

static void prompt(void **state)
{
    struct stage *stage = *state;
    pid_t child;
    int terminal = open_prompt(stage, &child);
    int status;

    await(stage, terminal, "");
    type(terminal, "set 'a' \"hello  you\"\n");
    await(stage, terminal, "you\"\r\n");
    type(terminal, "ge\ta\n");
    await(stage, terminal, "hello  you\r\n");
    type(terminal, "d\t\t");
    await(stage, terminal, "dump");
    assert_non_null(strstr(stage->output, "delete"));
    type(terminal, "\025nonsense\n");
    await(stage, terminal, "there is no command \"nonsense\"");
    type(terminal, "quit\n");
    while (read(terminal, stage->output, OUTPUT_BYTES) > 0)
        ;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0); /* exited, with 0 */
    assert_int_equal(close(terminal), 0);

    /* A second one has the first one's history. */
    terminal = open_prompt(stage, &child);
    await(stage, terminal, "");
    type(terminal, "\033[A\033[A\033[A\n");
    await(stage, terminal, "hello  you\r\n");
    type(terminal, "\004");
    while (read(terminal, stage->output, OUTPUT_BYTES) > 0)
        ;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0); /* exited, with 0 */
    assert_int_equal(close(terminal), 0);
}

/*
 * A signal ends it, and the terminal is as it was. The key behind it is for tsan, which keeps a
 * signal that comes between two calls of the system until one of them returns: a read, then, that
 * waits for a key. Where nothing is kept, nobody may be left to take it.
 */
static void prompt_ended_by_a_signal(void **state)
{
    struct stage *stage = *state;
    struct termios mode;
    pid_t child;
    int terminal = open_prompt(stage, &child), status;

    await(stage, terminal, "");
    assert_int_equal(kill(child, SIGTERM), 0);
    (void)!write(terminal, "x", 1);
    while (read(terminal, stage->output, OUTPUT_BYTES) > 0)
        ;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_int_equal(tcgetattr(terminal, &mode), 0);
    assert_true((mode.c_lflag & ICANON) != 0 && (mode.c_lflag & ECHO) != 0);
    assert_int_equal(close(terminal), 0);
}

/* ---- top ---- */

static void top_once(void **state)
{
    struct stage *stage = *state;
    const bool ours = strcmp(stage->server, "memcached") != 0;

    expect(stage, "for i in $(seq 4000); do echo get user:1; done | $Z 2>&1 | sort -u", 0,
           "zbctl: user:1: not found\n");
    find(stage, "$Z top", 0, "requests  get ");
    find(stage, "$Z top --once", 0, "0.00 % of gets\n");
    find(stage, "$Z top -1", 0, " of 64.0 MiB\n");
    find(stage, "$Z top -1 | grep -A1 pages", ours ? 0 : 1, ours ? "]\n          # buddied " : "");
    find(stage, "$Z top -1 | grep -E '^user:1 +[0-9.]+ +[0-9.]+$'", ours ? 0 : 1, "");
    find(stage, "$Z top -1 | grep -A1 'hottest keys'", 0,
         ours ? "user:1" : "not told by this server");
    find(stage, "$B -s /nowhere.sock top", 3, "not reachable");
    find(stage, "$Z top -i 0", 2, "interval");
}

/* With -X no key is listed; what is in a key cannot move the terminal's cursor. */
static void top_of_hostile_keys(void **state)
{
    struct stage *stage = *state;
    char error[PEER_ERROR_BYTES] = "";

    for (unsigned i = 0; i < 4000; i++) {
        struct client_meta reply;

        assert_int_equal(client_queue_meta(stage->client, "mg", "\033[31m evil", 10, NULL, "v"),
                         CLIENT_OK);
        assert_int_equal(client_flush(stage->client), CLIENT_OK);
        assert_int_equal(client_read_meta(stage->client, &reply), CLIENT_NOT_FOUND);
    }
    find(stage, "$Z top", 0, "\n%1B[31m%20evil ");
    stage->other = peer_start(stage->server, "-m 64 -X", PEER_TCP, error);
    assert_non_null(stage->other);
    stage->other_port = port_of(stage->other, stage->client);
    find(stage, "$Y top", 0, "the server lists no keys (-X)");
}

/* Reads until the text has come; what came before it is forgotten. */
static void see(struct stage *stage, int terminal, const char *text)
{
    size_t used = 0;

    stage->output[0] = '\0';
    while (strstr(stage->output, text) == NULL) {
        ssize_t got;

        if (used > OUTPUT_BYTES / 2) { /* frames: an end is enough to find the text by */
            memmove(stage->output, stage->output + used - 1024, 1024);
            used = 1024;
        }
        got = read(terminal, stage->output + used, OUTPUT_BYTES - 1 - used);
        if (got <= 0)
            fail_msg("no \"%s\"", text);
        used += (size_t)got;
        stage->output[used] = '\0';
    }
}

static int open_top(const struct stage *stage, pid_t *child)
{
    const struct winsize size = {.ws_row = 6, .ws_col = 80};
    char server[32];
    int terminal;

    (void)snprintf(server, sizeof(server), "127.0.0.1:%u", (unsigned)stage->port);
    *child = forkpty(&terminal, NULL, NULL, &size);
    assert_true(*child >= 0);
    if (*child == 0) {
        (void)alarm(WAIT_S);
        (void)execl(stage->zbctl, stage->zbctl, "-s", server, "-i", ".1", "top", (char *)NULL);
        _exit(127);
    }
    return terminal;
}

/* Frames follow the terminal's size and the server's coming and going; q gives the terminal back.
 */
static void top_live(void **state)
{
    struct stage *stage = *state;
    const struct winsize larger = {.ws_row = 24, .ws_col = 80};
    struct termios mode;
    pid_t child;
    int terminal = open_top(stage, &child), status;
    char line[96];

    see(stage, terminal, "latency");
    see(stage, terminal, "latency");
    assert_null(strstr(stage->output, "hottest keys"));
    assert_int_equal(ioctl(terminal, TIOCSWINSZ, &larger), 0);
    see(stage, terminal, " %\033[K\r\r\nitems "); /* the pages' legend is whole */
    see(stage, terminal, "hottest keys");
    peer_kill(stage->peer);
    stage->peer = NULL;
    see(stage, terminal, "away for");
    (void)snprintf(line, sizeof(line), "$S -m 64 -d -P $D/pid -l 127.0.0.1 -p %u%s",
                   (unsigned)stage->port, geteuid() == 0 ? " -u root" : "");
    expect(stage, line, 0, "");
    see(stage, terminal, "zbcached-");
    type(terminal, "q");
    see(stage, terminal, "\033[?1049l");
    while (read(terminal, stage->output, OUTPUT_BYTES) > 0)
        ;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0); /* exited, with 0 */
    assert_int_equal(tcgetattr(terminal, &mode), 0);
    assert_true((mode.c_lflag & ICANON) != 0 && (mode.c_lflag & ECHO) != 0);
    assert_int_equal(close(terminal), 0);
    expect(stage, "kill $(cat $D/pid)", 0, "");
}

/* ---- scripts, ends ---- */

static void scripts(void **state)
{
    struct stage *stage = *state;

    expect(stage, "printf 'set a 1\\n\\n  get a\\nincr a 4\\nquit\\nget a\\n' | $Z", 0, "1\n5\n");
    expect(stage, "printf 'get b\\nget a\\n' | $Z", 1, "zbctl: b: not found\n5\n");
    find(stage, "printf 'get \"b\\n' | $Z", 2, "quote");
}

/* What only waits ends as any program does, what is long in order; neither waits on. */
static void ended_by_signals(void **state)
{
    struct stage *stage = *state;

    find(stage,
         "mkfifo $D/never; exec 3<>$D/never; echo set a 1 >&3; $Z <&3 & W=$!; "
         "until $Z get a; do :; done >/dev/null; kill $W; wait $W",
         128 + SIGTERM, "");
    find(stage,
         "$Z --rate .001 save $D/slow & W=$!; until test -e $D/slow.part; do :; done; "
         "kill $W; wait $W",
         4, "");
}

static void how_it_ends(void **state)
{
    struct stage *stage = *state;

    find(stage, "$Z --help", 0, "warm FROM TO");
    find(stage, "$Z --nonsense", 2, "nonsense");
    find(stage, "$Z nonsense", 2, "no command");
    find(stage, "$Z get", 2, "usage: zbctl get KEY...");
    find(stage, "$Z set a 1 x", 2, "TTL");
    find(stage, "$Z set a 1 0 4294967296", 2, "FLAGS");
    find(stage, "$Z get 'a b'", 2, "bad key");
    find(stage, "$Z -t 0 get a", 2, "timeout");
    find(stage, "$B -s host:x get a", 2, "host:x");
    find(stage, "$B -s /nowhere.sock get a", 3, "not reachable");
    find(stage, "$Z stats >/dev/full", 5, "");
}

#define STAGED(test, stage)                   \
    {                                         \
#test, test, set_up, tear_down, stage \
    }
#define BARE(test, stage)                          \
    {                                              \
#test, test, set_up_bare, tear_down, stage \
    }
/* memcached is the same one, whatever this program is built with. */
#if THREADS_WATCHED
#define BOTH(test) STAGED(test, &ours)
#else
#define BOTH(test) STAGED(test, &ours), STAGED(test, &theirs)
#endif

int main(int argc, char **argv)
{
    static struct stage ours, theirs;
    const struct CMUnitTest tests[] = {
        BOTH(items),
        BOTH(figures),
        BOTH(watching),
        BOTH(saving_and_loading),
        BOTH(warming),
        STAGED(estimating, &theirs),
        BOTH(top_once),
        STAGED(top_of_hostile_keys, &ours),
        STAGED(top_live, &ours),
        BARE(passwords, &ours),
        BARE(passwords, &theirs),
        BOTH(unasked_passwords),
        BARE(secret_connections, &ours),
        STAGED(prompt, &ours),
        STAGED(prompt_ended_by_a_signal, &ours),
        STAGED(scripts, &ours),
        STAGED(ended_by_signals, &ours),
        STAGED(how_it_ends, &ours),
    };

    if (argc != 3) {
        fprintf(stderr, "usage: zbctl_test <our server> <zbctl>\n");
        return EXIT_FAILURE;
    }
    ours = (struct stage){.server = argv[1], .zbctl = argv[2], .ours = argv[1]};
    theirs = (struct stage){.server = "memcached", .zbctl = argv[2], .ours = argv[1]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
