#include "clients/ctl_connect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool read_port(const char *text, uint16_t *port)
{
    char *end;
    unsigned long number;

    if (*text < '0' || *text > '9')
        return false;
    number = strtoul(text, &end, 10);
    *port = (uint16_t)number;
    return *end == '\0' && number >= 1 && number <= UINT16_MAX;
}

bool ctl_address_read(const char *text, struct ctl_address *address)
{
    const char *host = text;
    const char *colon;
    size_t host_bytes;

    address->tls = strncmp(text, "tls:", 4) == 0;
    host += address->tls ? 4 : 0;
    host_bytes = strlen(host);
    address->port = CTL_PORT;
    colon = strrchr(host, ':');
    if (host[0] == '/') {
        address->port = 0;
    } else if (host[0] == '[') {
        const char *bracket = strchr(host, ']');

        if (bracket == NULL || (bracket[1] != '\0' && bracket[1] != ':') ||
            (bracket[1] == ':' && !read_port(bracket + 2, &address->port)))
            return false;
        host++;
        host_bytes = (size_t)(bracket - host);
    } else if (colon != NULL && strchr(host, ':') == colon) {
        /* With two colons and no brackets it is an IPv6 address alone. */
        if (!read_port(colon + 1, &address->port))
            return false;
        host_bytes = (size_t)(colon - host);
    }
    if (host_bytes == 0 || host_bytes >= sizeof(address->host))
        return false;
    memcpy(address->host, host, host_bytes);
    address->host[host_bytes] = '\0';
    return true;
}

/* "user:password" into @line. CTL_GOOD with an empty line where nobody names any. */
static enum ctl_exit read_login(const char *auth_file, const char *auth_name,
                                char line[CLIENT_LOGIN_BYTES_MAX])
{
    const char *named = getenv(auth_name);
    FILE *file;
    bool good;

    line[0] = '\0';
    if (auth_file == NULL) {
        if (named != NULL)
            (void)snprintf(line, CLIENT_LOGIN_BYTES_MAX, "%s", named);
        return CTL_GOOD;
    }
    file = fopen(auth_file, "re");
    if (file == NULL)
        return ctl_complain(auth_file);
    good = fgets(line, (int)CLIENT_LOGIN_BYTES_MAX, file) != NULL;
    (void)fclose(file);
    line[good ? strcspn(line, "\r\n") : 0] = '\0';
    if (line[0] != '\0')
        return CTL_GOOD;
    errno = ENODATA;
    return ctl_complain(auth_file);
}

static enum client_status login(struct client *client, char *line)
{
    char *colon = strchr(line, ':');
    enum client_status status;

    *colon = '\0';
    status = client_login(client, line, colon + 1);
    /* What a server without passwords answers that stores nothing. */
    return status == CLIENT_NOT_STORED ? CLIENT_OK : status;
}

/* CTL_GOOD: @status tells what came of it. Otherwise there is nothing to connect to, which was
 * said. */
static enum ctl_exit connect_to(const struct ctl_options *options, struct client *client,
                                const char *address, const char *auth_file, const char *auth_name,
                                enum client_status *status)
{
    const int timeout_ms = (int)(options->timeout_s * 1000);
    char line[CLIENT_LOGIN_BYTES_MAX];
    struct ctl_address read;
    enum ctl_exit code;

    *status = CLIENT_OK;
    if (!ctl_address_read(address, &read)) {
        fprintf(stderr, "zbctl: \"%s\" is no host, host:port, [address]:port or /path\n", address);
        return CTL_BAD_USAGE;
    }
    code = read_login(auth_file, auth_name, line);
    if (code != CTL_GOOD)
        return code;
    if (read.port != 0 && (options->tls || read.tls))
        *status = client_use_tls(client, &options->tls_how);
    if (*status == CLIENT_OK)
        *status = read.port == 0 ? client_connect_unix(client, read.host, timeout_ms)
                                 : client_connect_tcp(client, read.host, read.port, timeout_ms);
    if (*status == CLIENT_OK && line[0] != '\0') {
        if (strchr(line, ':') == NULL) {
            fprintf(stderr, "zbctl: a login is written user:password\n");
            code = CTL_BAD_USAGE;
        } else {
            *status = login(client, line);
        }
    }
    explicit_bzero(line, sizeof(line));
    return code;
}

enum ctl_exit ctl_connect(const struct ctl_options *options, struct client *client,
                          const char *address, const char *auth_file, const char *auth_name)
{
    enum client_status status;
    enum ctl_exit code = connect_to(options, client, address, auth_file, auth_name, &status);

    return status == CLIENT_OK ? code : ctl_fail(client, address, status);
}

enum client_status ctl_reconnect(const struct ctl_options *options, struct client *client,
                                 const char *address, const char *auth_file, const char *auth_name)
{
    enum client_status status;

    if (connect_to(options, client, address, auth_file, auth_name, &status) != CTL_GOOD)
        return CLIENT_UNREACHABLE;
    return status;
}
