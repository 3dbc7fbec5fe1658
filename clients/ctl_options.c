#include "clients/ctl.h"
#include "clients/ctl_sample.h"

#include <stddef.h>

#define AT(member) offsetof(struct ctl_options, member)
#define ROW(name, letter, kind, member, min, max, argument, help)                \
    {                                                                            \
        name, letter, OPTIONS_##kind, AT(member), min, max, NULL, argument, help \
    }

static const struct options_row ROWS[] = {
    ROW("server", 's', TEXT, server, 0, 0, "ADDRESS",
        "host, host:port, [address]:port, /path/of.socket; with \"tls:\" in\n"
        "front over TLS (127.0.0.1:11211)"),
    ROW("auth-file", 'a', TEXT, auth_file, 0, 0, "FILE",
        "its first line is user:password; without it $ZBCTL_AUTH is"),
    ROW("to-auth-file", 0, TEXT, to_auth_file, 0, 0, "FILE",
        "the same for the second server of warm; $ZBCTL_TO_AUTH"),
    ROW("tls", 'Z', FLAG, tls, 0, 0, NULL, "all servers over TCP by TLS"),
    ROW("tls-ca", 0, TEXT, tls_how.ca_file, 0, 0, "FILE",
        "certificates of who may sign the server's (the system's)"),
    ROW("tls-name", 0, TEXT, tls_how.name, 0, 0, "NAME",
        "what the server's certificate is for (the host)"),
    ROW("tls-cert", 0, TEXT, tls_how.certificate_file, 0, 0, "FILE", "certificate to show"),
    ROW("tls-key", 0, TEXT, tls_how.key_file, 0, 0, "FILE", "its key (in --tls-cert)"),
    ROW("tls-trust-anybody", 0, FLAG, tls_how.trust_anybody, 0, 0, NULL,
        "do not verify: whoever is on the way can read along"),
    ROW("timeout", 't', NUMBER, timeout_s, .001, 86400, "SECONDS",
        "to connect and for each answer (10)"),
    ROW("rate", 'r', NUMBER, rate, .001, CTL_RATE_MAX, "N",
        "items a second (save, warm, estimate: 10000; load: no limit)"),
    ROW("overwrite", 0, FLAG, overwrite, 0, 0, NULL, "load, warm: also what is there already"),
    ROW("json", 'j', FLAG, json, 0, 0, NULL, "stats, dump, estimate: for programs"),
    ROW("count", 'c', WHOLE, count, 1, 1000000, "N", "pings (1)"),
    ROW("interval", 'i', NUMBER, interval_s, .1, 3600, "SECONDS", "top: between two frames (1)"),
    ROW("once", '1', FLAG, once, 0, 0, NULL, "top: one frame, with averages since the start"),
    ROW("sample", 0, WHOLE, sample, 100, CTL_SAMPLE_MAX, "N",
        "items that estimate reads, at most (200000)"),
    ROW("settle", 0, NUMBER, settle_s, 0, 600, "SECONDS",
        "estimate is done when nothing was compressed again for so long (13)"),
    ROW("zbcached", 0, TEXT, zbcached, 0, 0, "PROGRAM", "that estimate has hold them (zbcached)"),
    ROW("progress", 0, FLAG, progress, 0, 0, NULL, "shown also where stderr is no terminal"),
    {"help", 'h', OPTIONS_HELP, 0, 0, 0, NULL, NULL, "this"},
};

const struct options_table CTL_OPTIONS = {"zbctl", ROWS, sizeof(ROWS) / sizeof(ROWS[0])};
