#include "server/net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

struct address address_from(const struct sockaddr_storage *storage)
{
    struct address address = {.family = AF_UNIX};

    if (storage->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, storage, sizeof(in));
        address.family = AF_INET;
        address.port = ntohs(in.sin_port);
        memcpy(address.ip, &in.sin_addr, sizeof(in.sin_addr));
    } else if (storage->ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, storage, sizeof(in6));
        address.family = AF_INET6;
        address.port = ntohs(in6.sin6_port);
        memcpy(address.ip, &in6.sin6_addr, sizeof(in6.sin6_addr));
    }
    return address;
}

bool address_is_local(const struct address *address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct in6_addr in6;

    if (address->family != AF_INET6) {
        return address->family == AF_UNIX || address->ip[0] == IN_LOOPBACKNET;
    }
    memcpy(&in6, address->ip, sizeof(in6));
    return IN6_IS_ADDR_LOOPBACK(&in6) ||
           (memcmp(address->ip, mapped, sizeof(mapped)) == 0 && address->ip[12] == IN_LOOPBACKNET);
}

void address_text(const struct address *address, const char *path,
                  char text[ADDRESS_TEXT_BYTES_MAX])
{
    char ip[INET6_ADDRSTRLEN];

    if (address->family == AF_UNIX ||
        inet_ntop(address->family, address->ip, ip, sizeof(ip)) == NULL) {
        (void)snprintf(text, ADDRESS_TEXT_BYTES_MAX, "unix:%s", path);
    } else if (address->family == AF_INET6) {
        (void)snprintf(text, ADDRESS_TEXT_BYTES_MAX, "%s6:[%s]:%u", address->udp ? "udp" : "tcp",
                       ip, address->port);
    } else {
        (void)snprintf(text, ADDRESS_TEXT_BYTES_MAX, "%s:%s:%u", address->udp ? "udp" : "tcp", ip,
                       address->port);
    }
}

void address_host(const struct address *address, char text[ADDRESS_TEXT_BYTES_MAX])
{
    if (address->family == AF_UNIX ||
        inet_ntop(address->family, address->ip, text, ADDRESS_TEXT_BYTES_MAX) == NULL) {
        (void)snprintf(text, ADDRESS_TEXT_BYTES_MAX, "unix");
    }
}
