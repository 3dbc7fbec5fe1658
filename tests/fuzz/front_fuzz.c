/*
 * front_fuzz.c - any bytes before anybody is let in: of the TLS handshake, before and behind it,
 * and of the login. Nothing is executed for who has not logged in, whatever the bytes and their
 * cuts; and the server goes on to serve who does.
 *
 *   [0] TLS or not, users or not, what a real client does first
 *   then pieces: [bytes] of the input as they are, each sent by itself; through TLS where the
 *   client has shaken hands
 *
 * A client of OpenSSL sits on the other end of memory: its handshake goes over the same link, and
 * what the fuzzer has put in its way comes in between. The keys are made anew in each process, so a
 * handshake's bytes are never the same twice; all else is.
 */
#include "server/admin/auth.h"
#include "server/cache/cache.h"
#include "server/net/tls.h"
#include "tests/fuzz/within.h"
#include "tests/tls/certs.h"

#include <openssl/ssl.h>

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    WITH_TLS = 1,
    WITH_USERS = 2,
    SHAKES_HANDS = 4,   /* the client does, in the end */
    BYTES_BEFORE = 8,   /* a piece goes before the handshake */
    BYTES_BETWEEN = 16, /* and one into it */
    LOGS_IN = 32,
    ROUNDS_MAX = 8,
    ANSWERS_BYTES = 64 << 10,
    SAID_BYTES = 1 << 20,
    OTHER = 1 /* the link of one who behaves */
};

#define LOGIN  "set l 0 0 10\r\njoe secret\r\n"
#define STORED "STORED\r\n"

/* Made once: certificates, users, and a client's settings. */
struct rooms {
    char folder[CERTS_PATH_BYTES], chain[128], key[128], users[64];
    struct config config;
    struct tls *tls;
    struct auth *auth;
    SSL_CTX *client;
};

static const struct rooms *rooms(void)
{
    static struct rooms made;
    static const char users[] = "joe:secret\n";
    char error[TLS_ERROR_BYTES_MAX + 1];

    if (made.tls != NULL) {
        return &made;
    }
    certs_make(made.folder);
    (void)snprintf(made.chain, sizeof(made.chain), "%s/server.pem", made.folder);
    (void)snprintf(made.key, sizeof(made.key), "%s/server.key", made.folder);
    struct rig *rig = rig_new("-m 8");
    made.config = rig->config;
    rig_free(rig);
    made.config.tls_chain_cert = made.chain;
    made.config.tls_key = made.key;
    made.tls = tls_new(&made.config, error);
    const int fd = memfd_create("users", MFD_CLOEXEC);
    const ssize_t written = write(fd, users, sizeof(users) - 1);
    assert(written == sizeof(users) - 1);
    (void)snprintf(made.users, sizeof(made.users), "/proc/self/fd/%d", fd);
    made.auth = auth_new(made.users, error);
    made.client = SSL_CTX_new(TLS_client_method());
    certs_remove(made.folder);
    assert(made.tls != NULL && made.auth != NULL && made.client != NULL);
    return &made;
}

struct visit {
    struct within *within;
    unsigned how;
    const uint8_t *data, *end;
    SSL *ssl; /* NULL: plain */
    BIO *in, *out;
    bool closed;
    size_t said_bytes;
    uint8_t said[SAID_BYTES]; /* of the input, without its cuts */
    size_t answers_bytes;
    char answers[ANSWERS_BYTES + 1]; /* as the client understands them */
};

/* ---- bytes both ways ---- */

static void keep(struct visit *visit, const char *bytes, size_t count)
{
    const size_t room = ANSWERS_BYTES - visit->answers_bytes;

    count = count < room ? count : room;
    memcpy(visit->answers + visit->answers_bytes, bytes, count);
    visit->answers_bytes += count;
    visit->answers[visit->answers_bytes] = '\0';
}

static void receive(struct visit *visit)
{
    char bytes[4096];
    size_t count;

    within_run(visit->within);
    while (!visit->closed &&
           (count = within_read(visit->within, 0, bytes, sizeof(bytes), &visit->closed)) > 0) {
        if (visit->ssl == NULL) {
            keep(visit, bytes, count);
        } else {
            (void)BIO_write(visit->in, bytes, (int)count);
        }
        within_run(visit->within);
    }
    int came;
    while (visit->ssl != NULL && SSL_is_init_finished(visit->ssl) &&
           (came = SSL_read(visit->ssl, bytes, sizeof(bytes))) > 0) {
        keep(visit, bytes, (size_t)came);
    }
}

/* What the client of OpenSSL has to say. */
static void send_records(struct visit *visit)
{
    char bytes[4096];
    int count;

    while ((count = BIO_read(visit->out, bytes, sizeof(bytes))) > 0) {
        (void)within_send(visit->within, 0, bytes, (size_t)count);
    }
    receive(visit);
}

/* As it is on the wire. */
static void send_plain(struct visit *visit, const void *bytes, size_t count)
{
    (void)within_send(visit->within, 0, bytes, count);
    receive(visit);
}

static void say(struct visit *visit, const void *bytes, size_t count)
{
    if (visit->ssl != NULL && SSL_is_init_finished(visit->ssl)) {
        (void)SSL_write(visit->ssl, bytes, (int)count);
        send_records(visit);
    } else {
        send_plain(visit, bytes, count);
    }
}

/* The input's next piece; none at its end. */
static size_t next_piece(struct visit *visit, const uint8_t **piece)
{
    if (visit->data == visit->end) {
        return 0;
    }
    const size_t wanted = *visit->data++, left = (size_t)(visit->end - visit->data);
    const size_t count = wanted < left ? wanted : left;
    *piece = visit->data;
    visit->data += count;
    memcpy(visit->said + visit->said_bytes, *piece, count);
    visit->said_bytes += count;
    return count;
}

/* ---- what is tried ---- */

static void shake_hands(struct visit *visit)
{
    const uint8_t *piece;

    for (unsigned i = 0; i < ROUNDS_MAX && !SSL_is_init_finished(visit->ssl); i++) {
        (void)SSL_do_handshake(visit->ssl);
        if (i == 1 && (visit->how & BYTES_BETWEEN)) {
            const size_t count = next_piece(visit, &piece);
            send_plain(visit, piece, count);
        }
        send_records(visit);
    }
}

static void talk(struct visit *visit)
{
    const uint8_t *piece = NULL;
    size_t count;

    if (visit->how & BYTES_BEFORE) {
        count = next_piece(visit, &piece);
        send_plain(visit, piece, count);
    }
    if (visit->ssl != NULL && (visit->how & SHAKES_HANDS)) {
        shake_hands(visit);
    }
    if (visit->how & LOGS_IN) {
        say(visit, LOGIN, strlen(LOGIN));
    }
    while (visit->data < visit->end) {
        count = next_piece(visit, &piece);
        say(visit, piece, count);
    }
}

/* Whether the password is among what was said: then it may have logged in. */
static bool knows_password(const struct visit *visit)
{
    return memmem(visit->said, visit->said_bytes, "secret", 6) != NULL;
}

/* Without a login no request is executed: nothing but errors is answered, and nothing is stored. */
static void check_kept_out(struct visit *visit)
{
    struct cache_figures figures;
    char *line = visit->answers;

    for (char *end; (end = strstr(line, "\r\n")) != NULL; line = end + 2) {
        assert(strncmp(line, "CLIENT_ERROR", 12) == 0 || strncmp(line, "ERROR", 5) == 0 ||
               strncmp(line, "SERVER_ERROR", 12) == 0);
    }
    cache_figures(visit->within->rig->cache, &figures);
    assert(figures.items_total == 0);
}

/* Somebody else is served as ever. */
static void check_serves(struct within *within, bool users)
{
    static const char request[] = LOGIN "mn\r\n";
    char answer[64] = "";
    bool closed;

    within_dial(within, OTHER, CONFIG_TLS_NONE);
    const char *asked = users ? request : request + strlen(LOGIN);
    const size_t sent = within_send(within, OTHER, asked, strlen(asked));
    within_run(within);
    (void)within_read(within, OTHER, answer, sizeof(answer) - 1, &closed);
    assert(sent == strlen(asked) && strcmp(answer, users ? STORED "MN\r\n" : "MN\r\n") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct rooms *with = rooms();
    static struct visit visit;

    if (size == 0 || size > SAID_BYTES) {
        return 0;
    }
    const bool users = data[0] & WITH_USERS, tls = data[0] & WITH_TLS;
    visit.how = data[0];
    visit.data = data + 1;
    visit.end = data + size;
    visit.ssl = NULL;
    visit.closed = false;
    visit.said_bytes = visit.answers_bytes = 0;
    visit.answers[0] = '\0';
    visit.within = within_new("-m 8", users ? with->auth : NULL, tls ? with->tls : NULL);
    within_dial(visit.within, 0, tls ? CONFIG_TLS_DEFAULT : CONFIG_TLS_NONE);
    if (tls) {
        visit.ssl = SSL_new(with->client);
        visit.in = BIO_new(BIO_s_mem());
        visit.out = BIO_new(BIO_s_mem());
        assert(visit.ssl != NULL && visit.in != NULL && visit.out != NULL);
        SSL_set_bio(visit.ssl, visit.in, visit.out);
        SSL_set_connect_state(visit.ssl);
    }
    talk(&visit);
    check_serves(visit.within, users);
    if (users && !(data[0] & LOGS_IN) && !knows_password(&visit)) {
        check_kept_out(&visit);
    }
    SSL_free(visit.ssl);
    within_free(visit.within);
    return 0;
}
