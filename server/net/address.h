/*
 * address.h - one end of a connection: an IPv4, IPv6 or unix address in few bytes, and as text.
 *
 *   "tcp:127.0.0.1:11211"   "tcp6:[::1]:11211"   "udp:127.0.0.1:11211"   "unix:/run/cache.sock"
 *
 * Threads: plain data.
 */
#ifndef SERVER_NET_ADDRESS_H
#define SERVER_NET_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESS_TEXT_BYTES_MAX 128u /* a unix path is at most 107 bytes long */

/* The bytes of an address a connection keeps; a unix one has its path with its listener. */
struct address {
    uint8_t family; /* AF_INET, AF_INET6, AF_UNIX */
    bool udp;
    uint16_t port;
    uint8_t ip[16]; /* AF_INET: the first four */
};

/** address_from() - from what the kernel says. Families other than the three become AF_UNIX. */
struct address address_from(const struct sockaddr_storage *storage);
/** address_is_local() - only this host can reach it: loopback, or a unix socket. */
bool address_is_local(const struct address *address);
/** address_text() - @path: what is shown for AF_UNIX. */
void address_text(const struct address *address, const char *path,
                  char text[ADDRESS_TEXT_BYTES_MAX]);
/** address_host() - the same without family and port; "unix" for AF_UNIX. */
void address_host(const struct address *address, char text[ADDRESS_TEXT_BYTES_MAX]);

#endif
