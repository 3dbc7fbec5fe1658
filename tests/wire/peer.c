#include "tests/wire/peer.h"

#include "tests/tls/tunnel.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STARTS_MAX  10 /* ports tried */
#define OPTIONS_MAX 64
#define LOGIN       "set login 0 0 8\r\nwire tap\r\n" /* as PEER_USERS has it */

struct peer {
    pid_t child; /* 0: it has ended and been waited for */
    int exit_status;
    enum peer_way way;
    bool has_users; /* who connects must log in */
    uint16_t port;
    pid_t tunnel; /* PEER_TLS; else 0 */
    uint16_t tunnel_port;
    char folder[32]; /* of the unix socket; "" over TCP */
    char path[48];
};

struct arguments {
    char text[512];
    char *words[OPTIONS_MAX + 1];
    size_t count;
};

/* A port of 127.0.0.1 that was free a moment ago; 0: none. */
static uint16_t free_port(void)
{
    uint16_t port = 0;
    int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    if (probe >= 0 && bind(probe, (struct sockaddr *)&address, bytes) == 0 &&
        getsockname(probe, (struct sockaddr *)&address, &bytes) == 0)
        port = ntohs(address.sin_port);
    if (probe >= 0)
        (void)close(probe);
    return port;
}

static bool make_arguments(const struct peer *peer, const char *program, const char *options,
                           struct arguments *arguments)
{
    char where[256];
    if (peer->path[0] != '\0')
        (void)snprintf(where, sizeof(where), "-s %s -a 700", peer->path);
    else
        (void)snprintf(where, sizeof(where), "-l 127.0.0.1 -p %u -U 0 %s%s", (unsigned)peer->port,
                       peer->way == PEER_LOGIN ? "-Y " PEER_USERS : "",
                       peer->way == PEER_SANDBOX ? "-o drop_privileges" : "");
    if (peer->way == PEER_TLS) {
        const char *certs = getenv(PEER_CERTS);
        size_t used = strlen(where);
        assert(certs != NULL);
        (void)snprintf(where + used, sizeof(where) - used,
                       "-Z -o ssl_chain_cert=%s/server.pem,ssl_key=%s/server.key", certs, certs);
    }
    int bytes = snprintf(arguments->text, sizeof(arguments->text), "%s %s %s %s", program, where,
                         geteuid() == 0 ? "-u root" : "", options);
    if ((size_t)bytes >= sizeof(arguments->text))
        return false;
    char *state;
    for (char *word = strtok_r(arguments->text, " ", &state); word != NULL;
         word = strtok_r(NULL, " ", &state)) {
        if (arguments->count == OPTIONS_MAX)
            return false;
        arguments->words[arguments->count++] = word;
    }
    return true;
}

/* In the child: becomes the server. In its sandbox no sanitizer can look for leaks at the end,
 * which takes a process beside it. */
static _Noreturn void become_server(const struct peer *peer, const struct arguments *arguments)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (peer->way == PEER_SANDBOX)
        (void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
    (void)execvp(arguments->words[0], arguments->words);
    fprintf(stderr, "%s: %s\n", arguments->words[0], strerror(errno));
    _exit(127);
}

static void pause_ms(unsigned ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&pause, &pause) < 0 && errno == EINTR) {
    }
}

bool peer_running(const struct peer *peer)
{
    siginfo_t info = {0};
    if (peer->child == 0)
        return false;
    int answer = waitid(P_PID, (id_t)peer->child, &info, WEXITED | WNOHANG | WNOWAIT);
    return answer == 0 && info.si_pid == 0;
}

static enum client_status connect_to(const struct peer *peer, struct client *client)
{
    if (peer->path[0] != '\0')
        return client_connect_unix(client, peer->path, PEER_TIMEOUT_MS);
    return client_connect_tcp(client, "127.0.0.1",
                              peer->tunnel != 0 ? peer->tunnel_port : peer->port, PEER_TIMEOUT_MS);
}

static enum client_status log_in(struct client *client)
{
    struct client_slice line;
    enum client_status status = client_queue(client, LOGIN, strlen(LOGIN));
    if (status == CLIENT_OK)
        status = client_flush(client);
    if (status == CLIENT_OK)
        status = client_receive_line(client, &line);
    if (status == CLIENT_OK && (line.bytes != 6 || memcmp(line.data, "STORED", 6) != 0))
        status = CLIENT_UNEXPECTED;
    return status;
}

enum client_status peer_connect(const struct peer *peer, struct client *client)
{
    enum client_status status = connect_to(peer, client);
    return status == CLIENT_OK && peer->way == PEER_LOGIN ? log_in(client) : status;
}

/* The process id that whoever listens there gives; 0: nobody, or no sense. */
static long pid_of_listener(const struct peer *peer)
{
    struct client *client = client_new();
    assert(client != NULL);
    long pid = 0;
    if (connect_to(peer, client) == CLIENT_OK &&
        (!peer->has_users || log_in(client) == CLIENT_OK) &&
        client_stats(client, "") == CLIENT_OK) {
        struct client_stat stat;
        while (client_read_stat(client, &stat) == CLIENT_OK) {
            char digits[24];
            if (stat.name.bytes != 3 || memcmp(stat.name.data, "pid", 3) != 0 ||
                stat.value.bytes >= sizeof(digits))
                continue;
            memcpy(digits, stat.value.data, stat.value.bytes);
            digits[stat.value.bytes] = '\0';
            pid = strtol(digits, NULL, 10);
        }
    }
    client_free(client);
    return pid;
}

static bool await_answer(const struct peer *peer)
{
    for (unsigned waited_ms = 0; waited_ms < PEER_TIMEOUT_MS; waited_ms += 5) {
        long pid = pid_of_listener(peer);
        if (pid != 0)
            return pid == (long)peer->child;
        if (!peer_running(peer))
            return false;
        pause_ms(5);
    }
    return false;
}

static void end_tunnel(struct peer *peer)
{
    if (peer->tunnel == 0)
        return;
    (void)kill(peer->tunnel, SIGKILL);
    (void)waitpid(peer->tunnel, NULL, 0);
    peer->tunnel = 0;
}

static bool launch(struct peer *peer, const char *program, const char *options, char *error)
{
    struct arguments arguments = {0};
    if (!make_arguments(peer, program, options, &arguments)) {
        (void)snprintf(error, PEER_ERROR_BYTES, "too many options: %s", options);
        return false;
    }
    peer->child = fork();
    if (peer->child == 0)
        become_server(peer, &arguments);
    if (peer->child < 0) {
        (void)snprintf(error, PEER_ERROR_BYTES, "fork: %s", strerror(errno));
        return false;
    }
    if (peer->way == PEER_TLS)
        peer->tunnel = tunnel_start(peer->port, &peer->tunnel_port);
    if (await_answer(peer))
        return true;
    end_tunnel(peer);
    (void)snprintf(error, PEER_ERROR_BYTES, "%s does not start with %s", program, options);
    (void)kill(peer->child, SIGKILL);
    (void)waitpid(peer->child, NULL, 0);
    return false;
}

static void remove_folder(const struct peer *peer)
{
    if (peer->path[0] != '\0')
        (void)unlink(peer->path);
    if (peer->folder[0] != '\0')
        (void)rmdir(peer->folder);
}

struct peer *peer_start(const char *program, const char *options, enum peer_way way, char *error)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    assert(peer != NULL);
    peer->way = way;
    peer->has_users = way == PEER_LOGIN || strstr(options, "-Y ") != NULL;
    if (way == PEER_UNIX) {
        (void)snprintf(peer->folder, sizeof(peer->folder), P_tmpdir "/peer.XXXXXX");
        if (mkdtemp(peer->folder) == NULL) {
            (void)snprintf(error, PEER_ERROR_BYTES, "%s: %s", peer->folder, strerror(errno));
            free(peer);
            return NULL;
        }
        (void)snprintf(peer->path, sizeof(peer->path), "%s/socket", peer->folder);
    }
    for (int tries = 0; tries < STARTS_MAX; tries++) {
        peer->port = way == PEER_UNIX ? 0 : free_port();
        if (launch(peer, program, options, error))
            return peer;
    }
    remove_folder(peer);
    free(peer);
    return NULL;
}

bool peer_await_end(struct peer *peer)
{
    for (unsigned waited_ms = 0; waited_ms < PEER_TIMEOUT_MS && peer->child != 0; waited_ms += 2) {
        if (waitpid(peer->child, &peer->exit_status, WNOHANG) == peer->child)
            peer->child = 0;
        else
            pause_ms(2);
    }
    return peer->child == 0 && WIFEXITED(peer->exit_status) && WEXITSTATUS(peer->exit_status) == 0;
}

bool peer_stop(struct peer *peer)
{
    if (peer->child != 0)
        (void)kill(peer->child, SIGTERM);
    bool good = peer_await_end(peer);
    peer_kill(peer);
    return good;
}

void peer_kill(struct peer *peer)
{
    if (peer == NULL)
        return;
    end_tunnel(peer);
    if (peer->child != 0) {
        (void)kill(peer->child, SIGKILL);
        (void)waitpid(peer->child, NULL, 0);
    }
    remove_folder(peer);
    free(peer);
}

/* A line "<name>:   1234 kB" of the child's status, in bytes. */
static size_t status_bytes(const struct peer *peer, const char *name)
{
    char path[48];
    char line[256];
    size_t bytes = 0;
    (void)snprintf(path, sizeof(path), "/proc/%ld/status", (long)peer->child);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0)
            bytes = (size_t)strtoul(line + strlen(name), NULL, 10) * 1024;
    }
    (void)fclose(file);
    return bytes;
}

size_t peer_resident_bytes_max(const struct peer *peer)
{
    return status_bytes(peer, "VmHWM:");
}

size_t peer_resident_bytes(const struct peer *peer)
{
    return status_bytes(peer, "VmRSS:");
}
