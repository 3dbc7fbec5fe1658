#include "clients/client_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct client_tls_context {
    SSL_CTX *ssl;
    char *name; /* instead of the host's; NULL: the host's */
};

struct client_tls {
    SSL *ssl;
    int descriptor;
};

/* --- what went wrong --- */

static void explain(char text[CLIENT_TEXT_BYTES_MAX], const char *what)
{
    const unsigned long error = ERR_get_error();
    const char *reason = error != 0 ? ERR_reason_error_string(error) : NULL;
    if (ERR_SYSTEM_ERROR(error))
        reason = strerror(ERR_GET_REASON(error));
    (void)snprintf(text, CLIENT_TEXT_BYTES_MAX, "%.300s: %.180s", what,
                   reason != NULL ? reason : "TLS failed");
    ERR_clear_error();
}

/* --- SIGPIPE: OpenSSL calls write(), which raises it where the server has closed. */

static sigset_t hold_sigpipe(void)
{
    sigset_t held, before;
    (void)sigemptyset(&held);
    (void)sigaddset(&held, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &held, &before);
    return before;
}

static void release_sigpipe(const sigset_t *before)
{
    const struct timespec now = {0};
    const int error = errno;
    sigset_t held;
    (void)sigemptyset(&held);
    (void)sigaddset(&held, SIGPIPE);
    if (sigismember(before, SIGPIPE) == 0)
        (void)sigtimedwait(&held, NULL, &now);
    (void)pthread_sigmask(SIG_SETMASK, before, NULL);
    errno = error;
}

/* --- contexts --- */

static bool read_files(SSL_CTX *ssl, const struct client_tls_how *how,
                       char text[CLIENT_TEXT_BYTES_MAX])
{
    const char *key = how->key_file != NULL ? how->key_file : how->certificate_file;
    const int found = how->ca_file != NULL ? SSL_CTX_load_verify_file(ssl, how->ca_file)
                                           : SSL_CTX_set_default_verify_paths(ssl);
    if (found != 1) {
        explain(text, how->ca_file != NULL ? how->ca_file : "the system's authorities");
        return false;
    }
    if (how->certificate_file == NULL)
        return true;
    if (SSL_CTX_use_certificate_chain_file(ssl, how->certificate_file) != 1) {
        explain(text, how->certificate_file);
        return false;
    }
    if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) == 1)
        return true;
    explain(text, key);
    return false;
}

struct client_tls_context *client_tls_context_new(const struct client_tls_how *how,
                                                  char text[CLIENT_TEXT_BYTES_MAX])
{
    struct client_tls_context *context = calloc(1, sizeof(*context));
    ERR_clear_error();
    if (context != NULL)
        context->ssl = SSL_CTX_new(TLS_client_method());
    if (context == NULL || context->ssl == NULL ||
        SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION) != 1) {
        explain(text, "TLS");
        client_tls_context_free(context);
        return NULL;
    }
    SSL_CTX_set_verify(context->ssl, how->trust_anybody ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    /* What is sent moves in its buffer, and goes in as many pieces as the socket takes. */
    (void)SSL_CTX_set_mode(context->ssl,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (how->name != NULL)
        context->name = strdup(how->name);
    if (read_files(context->ssl, how, text) && (how->name == NULL || context->name != NULL))
        return context;
    client_tls_context_free(context);
    return NULL;
}

void client_tls_context_free(struct client_tls_context *context)
{
    if (context == NULL)
        return;
    SSL_CTX_free(context->ssl);
    free(context->name);
    free(context);
}

/* --- sessions --- */

/*
 * What to do about a call that did not move a byte: CLIENT_OK once it can be tried again. @result
 * is what the call gave.
 */
static enum client_status wait_for(const struct client_tls *tls, int result,
                                   struct client_deadline deadline)
{
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return client_dial_wait(tls->descriptor, POLLIN, deadline);
    case SSL_ERROR_WANT_WRITE:
        return client_dial_wait(tls->descriptor, POLLOUT, deadline);
    case SSL_ERROR_ZERO_RETURN:
        return CLIENT_CLOSED;
    case SSL_ERROR_SYSCALL:
        return errno != 0 ? client_dial_status() : CLIENT_CLOSED;
    default:
        return CLIENT_TLS_FAILED;
    }
}

/* Sets what is verified, and sent so that the server finds its certificate. */
static bool set_name(SSL *ssl, const char *name)
{
    uint8_t address[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    /* A copy: the macro casts its const away. */
    char host[TLSEXT_MAXLEN_host_name + 1];
    (void)snprintf(host, sizeof(host), "%s", name);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

/* Before each try: no older error may be taken for its own. */
static sigset_t begin_try(void)
{
    const sigset_t before = hold_sigpipe();
    ERR_clear_error();
    errno = 0;
    return before;
}

static enum client_status shake_hands(struct client_tls *tls, struct client_deadline deadline,
                                      char text[CLIENT_TEXT_BYTES_MAX])
{
    for (;;) {
        const sigset_t before = begin_try();
        const int result = SSL_connect(tls->ssl);
        release_sigpipe(&before);
        if (result == 1)
            return CLIENT_OK;
        const enum client_status status = wait_for(tls, result, deadline);
        const long doubt = SSL_get_verify_result(tls->ssl);
        if (status == CLIENT_TLS_FAILED && doubt != X509_V_OK) {
            (void)snprintf(text, CLIENT_TEXT_BYTES_MAX, "certificate not trusted: %.300s",
                           X509_verify_cert_error_string(doubt));
            ERR_clear_error();
        } else if (status == CLIENT_TLS_FAILED) {
            explain(text, "handshake");
        }
        if (status != CLIENT_OK)
            return status;
    }
}

enum client_status client_tls_connect(struct client_tls_context *context, int descriptor,
                                      const char *name, struct client_deadline deadline,
                                      char text[CLIENT_TEXT_BYTES_MAX], struct client_tls **tls)
{
    struct client_tls *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return CLIENT_NO_MEMORY;
    made->descriptor = descriptor;
    made->ssl = SSL_new(context->ssl);
    enum client_status status = CLIENT_NO_MEMORY;
    if (made->ssl != NULL && SSL_set_fd(made->ssl, descriptor) == 1 &&
        set_name(made->ssl, context->name != NULL ? context->name : name))
        status = shake_hands(made, deadline, text);
    if (status == CLIENT_OK) {
        *tls = made;
        return CLIENT_OK;
    }
    SSL_free(made->ssl);
    free(made);
    return status;
}

/* Whether to try again to send or to receive, where that has given @result; @status is set. */
static bool try_again(const struct client_tls *tls, int result, struct client_deadline deadline,
                      enum client_status *status)
{
    *status = result == 1 ? CLIENT_OK : wait_for(tls, result, deadline);
    if (*status == CLIENT_TLS_FAILED)
        *status = CLIENT_CLOSED;
    return result != 1 && *status == CLIENT_OK;
}

enum client_status client_tls_send(struct client_tls *tls, const void *data, size_t bytes,
                                   struct client_deadline deadline, size_t *sent)
{
    enum client_status status;
    int result;
    do {
        const sigset_t before = begin_try();
        result = SSL_write_ex(tls->ssl, data, bytes, sent);
        release_sigpipe(&before);
    } while (try_again(tls, result, deadline, &status));
    return status;
}

enum client_status client_tls_receive(struct client_tls *tls, void *data, size_t room,
                                      struct client_deadline deadline, size_t *got)
{
    enum client_status status;
    int result;
    do {
        const sigset_t before = begin_try();
        result = SSL_read_ex(tls->ssl, data, room, got);
        release_sigpipe(&before);
    } while (try_again(tls, result, deadline, &status));
    return status;
}

/* Below 0: it did not go out. */
static int say_goodbye(struct client_tls *tls)
{
    const sigset_t before = hold_sigpipe();
    const int result = SSL_shutdown(tls->ssl);
    ERR_clear_error();
    release_sigpipe(&before);
    return result;
}

enum client_status client_tls_shutdown(struct client_tls *tls)
{
    return say_goodbye(tls) >= 0 ? CLIENT_OK : CLIENT_SYSTEM;
}

void client_tls_free(struct client_tls *tls)
{
    if (tls == NULL)
        return;
    (void)say_goodbye(tls);
    SSL_free(tls->ssl);
    free(tls);
}
