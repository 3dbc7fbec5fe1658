/*
 * ctl_connect.h - from an address that a person wrote to a connection that is logged in.
 *
 *   host   host:port   [::1]:port   /path/of.socket     with "tls:" in front: over TLS
 *
 * A user and a password come from a file or from the environment, and never from the command line,
 * which every user of the machine can read. They are sent only where one of the two names them.
 *
 * Threads: as many as like; nothing is kept between calls.
 */
#ifndef CLIENTS_CTL_CONNECT_H
#define CLIENTS_CTL_CONNECT_H

#include "clients/ctl.h"

#define CTL_HOST_BYTES 256u
#define CTL_PORT       11211u

struct ctl_address {
    char host[CTL_HOST_BYTES]; /* or a path, where port is 0 */
    uint16_t port;
    bool tls;
};

/** ctl_address_read() - false where the text is no address. */
bool ctl_address_read(const char *text, struct ctl_address *address);

/**
 * ctl_connect() - over what the options say of TLS, logged in.
 * @client:    closed before.
 * @auth_file: "user:password" is its first line, as in memcached's -Y; NULL: see @auth_name.
 * @auth_name: of the variable of the environment that has "user:password" otherwise.
 *
 * Returns CTL_GOOD, or what has been said on stderr.
 */
enum ctl_exit ctl_connect(const struct ctl_options *options, struct client *client,
                          const char *address, const char *auth_file, const char *auth_name);
/** ctl_reconnect() - the same where it has worked before, and without a word. */
enum client_status ctl_reconnect(const struct ctl_options *options, struct client *client,
                                 const char *address, const char *auth_file, const char *auth_name)
    __attribute__((warn_unused_result));

#endif
