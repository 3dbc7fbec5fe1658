#include "tests/tls/dial.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct dial {
    SSL_CTX *context;
    SSL *ssl;
    int fd;
};

struct dial_session {
    SSL_SESSION *session;
};

static void load_client(SSL_CTX *context, const char *folder, const char *client)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s.pem", folder, client);
    int good = SSL_CTX_use_certificate_chain_file(context, path);
    assert(good == 1);
    (void)snprintf(path, sizeof(path), "%s/%s.key", folder, client);
    good = SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM);
    assert(good == 1);
}

static SSL_CTX *new_context(const struct dial_how *how)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    char path[128];

    assert(context != NULL);
    (void)snprintf(path, sizeof(path), "%s/authority.pem", how->folder);
    const int good = SSL_CTX_load_verify_locations(context, path, NULL);
    assert(good == 1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (how->client != NULL) {
        load_client(context, how->folder, how->client);
    }
    if (how->version != 0) {
        const int version = how->version == 2 ? TLS1_2_VERSION : TLS1_3_VERSION;
        (void)SSL_CTX_set_min_proto_version(context, version);
        (void)SSL_CTX_set_max_proto_version(context, version);
    }
    return context;
}

struct dial *dial_new(int fd, const struct dial_how *how)
{
    struct dial *dial = calloc(1, sizeof(*dial));

    assert(dial != NULL && fd >= 0);
    dial->fd = fd;
    dial->context = new_context(how);
    dial->ssl = SSL_new(dial->context);
    assert(dial->ssl != NULL);
    const int good = SSL_set_fd(dial->ssl, fd);
    assert(good == 1);
    if (how->session != NULL) {
        (void)SSL_set_session(dial->ssl, how->session->session);
    }
    if (SSL_connect(dial->ssl) == 1) {
        return dial;
    }
    ERR_clear_error();
    dial_free(dial);
    return NULL;
}

void dial_free(struct dial *dial)
{
    if (dial == NULL) {
        return;
    }
    if (SSL_is_init_finished(dial->ssl)) {
        (void)SSL_shutdown(dial->ssl);
        ERR_clear_error();
    }
    SSL_free(dial->ssl);
    SSL_CTX_free(dial->context);
    (void)close(dial->fd);
    free(dial);
}

bool dial_send(struct dial *dial, const void *bytes, size_t count)
{
    size_t sent = 0;

    return SSL_write_ex(dial->ssl, bytes, count, &sent) == 1 && sent == count;
}

ssize_t dial_read(struct dial *dial, void *bytes, size_t room)
{
    return SSL_read(dial->ssl, bytes, (int)room);
}

bool dial_expect(struct dial *dial, const char *text)
{
    const size_t count = strlen(text);
    char *got = malloc(count + 1);
    size_t at = 0;

    assert(got != NULL);
    while (at < count) {
        const ssize_t came = dial_read(dial, got + at, count - at);
        if (came <= 0) {
            break;
        }
        at += (size_t)came;
    }
    const bool same = at == count && memcmp(got, text, count) == 0;
    if (!same) {
        (void)fprintf(stderr, "expected %.200s\ngot (%zu bytes) %.*s\n", text, at, (int)at, got);
        ERR_print_errors_fp(stderr);
    }
    free(got);
    return same;
}

bool dial_ask(struct dial *dial, const char *request, const char *answer)
{
    return dial_send(dial, request, strlen(request)) && dial_expect(dial, answer);
}

void dial_shut(struct dial *dial)
{
    (void)SSL_shutdown(dial->ssl);
}

bool dial_renegotiate(struct dial *dial)
{
    char byte;

    if (SSL_renegotiate(dial->ssl) != 1 || SSL_do_handshake(dial->ssl) != 1) {
        ERR_clear_error();
        return false;
    }
    return dial_read(dial, &byte, 1) > 0;
}

void dial_peer(const struct dial *dial, char *name, size_t name_bytes)
{
    X509 *certificate = SSL_get1_peer_certificate(dial->ssl);

    assert(certificate != NULL);
    (void)X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name,
                                    (int)name_bytes);
    X509_free(certificate);
}

bool dial_was_resumed(const struct dial *dial)
{
    return SSL_session_reused(dial->ssl) == 1;
}

size_t dial_pending(const struct dial *dial)
{
    return (size_t)SSL_pending(dial->ssl);
}

struct dial_session *dial_session(struct dial *dial)
{
    SSL_SESSION *given = SSL_get1_session(dial->ssl);

    if (given == NULL || !SSL_SESSION_is_resumable(given) || !SSL_SESSION_has_ticket(given)) {
        SSL_SESSION_free(given);
        return NULL;
    }
    struct dial_session *session = malloc(sizeof(*session));
    assert(session != NULL);
    session->session = given;
    return session;
}

void dial_session_free(struct dial_session *session)
{
    if (session != NULL) {
        SSL_SESSION_free(session->session);
        free(session);
    }
}
