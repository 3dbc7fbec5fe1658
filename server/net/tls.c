#include "server/net/tls.h"

#include "server/admin/config.h"
#include "server/admin/log.h"
#include "server/budget.h"
#include "server/counters.h"
#include "server/limits.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tls {
    const struct config *config;
    pthread_mutex_t lock;
    SSL_CTX *context; /* under the lock */
};

struct tls_session {
    SSL *ssl;
    const struct tls_host *host;
    int fd;
    size_t charged_bytes;
    bool broken; /* nothing more can be sent or received */
    bool more;
    bool to_write;
};

__attribute__((format(printf, 2, 3))) static bool fail(char *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(error, TLS_ERROR_BYTES_MAX + 1, format, arguments);
    va_end(arguments);
    return false;
}

/* Why OpenSSL failed just now, in its words; its queue of errors is empty afterwards. */
static const char *reason(void)
{
    const unsigned long code = ERR_peek_last_error();
    const char *text = ERR_reason_error_string(code);

    if (text == NULL) {
        text = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : "no reason is given";
    }
    ERR_clear_error();
    return text;
}

/* ---- certificates ---- */

/* A key that is encrypted cannot be used: nobody is there to be asked. */
static int no_password(char *bytes, int room, int writing, void *context)
{
    (void)bytes;
    (void)room;
    (void)writing;
    (void)context;
    return -1;
}

static int verify_flags(unsigned mode)
{
    static const int FLAGS[] = {
        SSL_VERIFY_NONE,
        SSL_VERIFY_PEER,
        SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
        SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT | SSL_VERIFY_CLIENT_ONCE,
    };

    assert(mode < sizeof(FLAGS) / sizeof(FLAGS[0]));
    return FLAGS[mode];
}

static int on_new_session(SSL *ssl, SSL_SESSION *ticket)
{
    const struct tls_session *session = SSL_get_app_data(ssl);

    (void)ticket;
    counters_add(session->host->counters, COUNTER_TLS_SESSIONS, 1);
    return 0; /* we keep no reference */
}

/* Who comes back is known by a ticket that he keeps himself: nothing is stored here. */
static void set_tickets(SSL_CTX *context, const struct config *config)
{
    static const unsigned char NAME[] = CONFIG_PROGRAM;

    (void)SSL_CTX_set_session_id_context(context, NAME, sizeof(NAME) - 1);
    if (config->tls_session_cache) {
        (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER |
                                                          SSL_SESS_CACHE_NO_INTERNAL |
                                                          SSL_SESS_CACHE_NO_AUTO_CLEAR);
        SSL_CTX_sess_set_new_cb(context, on_new_session);
        (void)SSL_CTX_set_num_tickets(context, 1);
    } else {
        (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        (void)SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
        (void)SSL_CTX_set_num_tickets(context, 0);
    }
}

static bool load_files(SSL_CTX *context, const struct config *config, char *error)
{
    const char *chain = config->tls_chain_cert;
    const char *key = config->tls_key != NULL ? config->tls_key : chain;
    const char *ca = config->tls_ca_cert;
    const char *ciphers = config->tls_ciphers;

    if (SSL_CTX_use_certificate_chain_file(context, chain) != 1) {
        return fail(error, "cannot load the certificate chain %.200s: %s", chain, reason());
    }
    if (SSL_CTX_use_PrivateKey_file(context, key, (int)config->tls_keyformat) != 1) {
        return fail(error, "cannot load the private key %.200s: %s", key, reason());
    }
    if (SSL_CTX_check_private_key(context) != 1) {
        return fail(error, "the private key %.200s is not the certificate's: %s", key, reason());
    }
    if (ciphers != NULL && SSL_CTX_set_cipher_list(context, ciphers) != 1) {
        return fail(error, "there is no cipher in \"%.200s\": %s", ciphers, reason());
    }
    if (ca == NULL) {
        return true;
    }
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca);
    if (names == NULL || SSL_CTX_load_verify_file(context, ca) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return fail(error, "cannot load the authorities %.200s: %s", ca, reason());
    }
    SSL_CTX_set_client_CA_list(context, names); /* owns them */
    return true;
}

static SSL_CTX *new_context(const struct config *config, char *error)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    if (context == NULL) {
        (void)fail(error, "no TLS: %s", reason());
        return NULL;
    }
    (void)SSL_CTX_set_min_proto_version(
        context, config->tls_min_version == CONFIG_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                           SSL_OP_CIPHER_SERVER_PREFERENCE |
                                           SSL_OP_IGNORE_UNEXPECTED_EOF);
    if (config->tls_kernel) {
        (void)SSL_CTX_set_options(context, SSL_OP_ENABLE_KTLS);
    }
    (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1); /* a record's head and body with one read */
    SSL_CTX_set_max_cert_list(context, LIMITS_TLS_CLIENT_CERT_BYTES);
    SSL_CTX_set_default_passwd_cb(context, no_password);
    SSL_CTX_set_verify(context, verify_flags(config->tls_verify_mode), NULL);
    set_tickets(context, config);
    if (!load_files(context, config, error)) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

struct tls *tls_new(const struct config *config, char *error)
{
    struct tls *tls = calloc(1, sizeof(*tls));

    if (tls == NULL) {
        (void)fail(error, "no memory");
        return NULL;
    }
    tls->config = config;
    tls->context = new_context(config, error);
    if (tls->context == NULL) {
        free(tls);
        return NULL;
    }
    (void)pthread_mutex_init(&tls->lock, NULL);
    return tls;
}

bool tls_refresh(struct tls *tls, char *error)
{
    SSL_CTX *context = new_context(tls->config, error);

    if (context == NULL) {
        return false;
    }
    pthread_mutex_lock(&tls->lock);
    SSL_CTX *old = tls->context;
    tls->context = context;
    pthread_mutex_unlock(&tls->lock);
    SSL_CTX_free(old); /* its sessions hold it too */
    return true;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL) {
        return;
    }
    SSL_CTX_free(tls->context);
    (void)pthread_mutex_destroy(&tls->lock);
    free(tls);
}

/* ---- memory ---- */

/* What the session's state takes. */
static size_t held_bytes(const struct tls_session *session)
{
    const SSL *ssl = session->ssl;

    if (SSL_get_state(ssl) == TLS_ST_BEFORE) {
        return LIMITS_TLS_NEW_BYTES;
    }
    if (!SSL_is_init_finished(ssl)) {
        return LIMITS_TLS_HANDSHAKE_BYTES;
    }
    return LIMITS_TLS_OPEN_BYTES + (SSL_has_pending(ssl) ? LIMITS_TLS_BUFFER_BYTES : 0) +
           (SSL_want_write(ssl) ? LIMITS_TLS_BUFFER_BYTES : 0);
}

bool tls_settle(struct tls_session *session)
{
    const size_t bytes = held_bytes(session);
    const size_t before = session->charged_bytes;

    if (bytes > before && !budget_grow(session->host->budget, before, bytes)) {
        return false;
    }
    if (bytes < before) {
        budget_shrink(session->host->budget, before, bytes);
    }
    session->charged_bytes = bytes;
    return true;
}

/* ---- a session ---- */

static void set_mode(SSL *ssl, unsigned mode)
{
    if (mode == CONFIG_TLS_BASIC) {
        SSL_set_verify(ssl, verify_flags(0), NULL);
    } else if (mode == CONFIG_TLS_MUTUAL) {
        SSL_set_verify(ssl, verify_flags(2), NULL);
    }
}

struct tls_session *tls_accept(const struct tls_host *host, int fd, unsigned mode)
{
    struct tls_session *session = NULL;

    assert(mode != CONFIG_TLS_NONE);
    if (!budget_take(host->budget, LIMITS_TLS_NEW_BYTES)) {
        return NULL;
    }
    session = calloc(1, sizeof(*session));
    if (session != NULL) {
        *session =
            (struct tls_session){.host = host, .fd = fd, .charged_bytes = LIMITS_TLS_NEW_BYTES};
        pthread_mutex_lock(&host->tls->lock);
        session->ssl = SSL_new(host->tls->context);
        pthread_mutex_unlock(&host->tls->lock);
    }
    if (session == NULL || session->ssl == NULL || SSL_set_fd(session->ssl, fd) != 1) {
        ERR_clear_error();
        if (session != NULL) {
            SSL_free(session->ssl);
        }
        free(session);
        budget_give(host->budget, LIMITS_TLS_NEW_BYTES);
        return NULL;
    }
    (void)SSL_set_app_data(session->ssl, session);
    set_mode(session->ssl, mode);
    SSL_set_accept_state(session->ssl);
    return session;
}

void tls_close(struct tls_session *session)
{
    if (session == NULL) {
        return;
    }
    if (tls_is_open(session) && !session->broken) {
        (void)SSL_shutdown(session->ssl);
        ERR_clear_error();
    }
    SSL_free(session->ssl);
    budget_give(session->host->budget, session->charged_bytes);
    free(session);
}

bool tls_is_open(const struct tls_session *session)
{
    return SSL_is_init_finished(session->ssl) != 0;
}

bool tls_has_more(const struct tls_session *session)
{
    return session->more;
}

bool tls_wants_to_write(const struct tls_session *session)
{
    return session->to_write;
}

/* The connection is dead, in the handshake or behind it: errno for the caller. */
static ssize_t break_off(struct tls_session *session, bool was_open)
{
    const struct tls_host *host = session->host;

    session->broken = true;
    counters_add(host->counters, was_open ? COUNTER_TLS_PROTO_ERRORS : COUNTER_TLS_HANDSHAKE_ERRORS,
                 1);
    log_say(host->log, LOG_EVENTS, "<%d TLS %s failed: %s", session->fd,
            was_open ? "connection" : "handshake", reason());
    errno = EPROTO;
    return -1;
}

/* What a call that did nothing means. */
static ssize_t read_outcome(struct tls_session *session, int answer, bool was_open)
{
    switch (SSL_get_error(session->ssl, answer)) {
    case SSL_ERROR_WANT_READ:
        break;
    case SSL_ERROR_WANT_WRITE:
        session->to_write = true;
        break;
    case SSL_ERROR_ZERO_RETURN:
        return was_open ? 0 : break_off(session, false);
    default:
        return break_off(session, was_open);
    }
    errno = EAGAIN;
    return -1;
}

ssize_t tls_receive(struct tls_session *session, void *bytes, size_t room)
{
    uint8_t *at = bytes;
    size_t used = 0;

    session->more = false;
    session->to_write = false;
    if (session->broken) {
        errno = EPROTO;
        return -1;
    }
    ERR_clear_error();
    do {
        const bool was_open = tls_is_open(session);
        const size_t left = room - used;
        const int count = SSL_read(session->ssl, at + used, (int)(left < INT_MAX ? left : INT_MAX));
        if (count <= 0) {
            const ssize_t outcome = read_outcome(session, count, was_open);
            session->more = used > 0 && (outcome == 0 || errno != EAGAIN); /* the end */
            return used > 0 ? (ssize_t)used : outcome;
        }
        used += (size_t)count;
    } while (used < room && SSL_has_pending(session->ssl));
    session->more = SSL_has_pending(session->ssl) != 0;
    return (ssize_t)used;
}

ssize_t tls_send(struct tls_session *session, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    size_t used = 0;

    if (session->broken) {
        errno = EPROTO;
        return -1;
    }
    ERR_clear_error();
    while (used < count) {
        const size_t left = count - used;
        const int sent = SSL_write(session->ssl, at + used, (int)(left < INT_MAX ? left : INT_MAX));
        if (sent <= 0) {
            if (SSL_get_error(session->ssl, sent) != SSL_ERROR_WANT_WRITE) {
                return break_off(session, true);
            }
            break;
        }
        used += (size_t)sent;
    }
    if (used == 0) {
        errno = EAGAIN;
        return -1;
    }
    return (ssize_t)used;
}
