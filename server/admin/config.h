/*
 * config.h - what the command line asks for.
 *
 *   argv --config_parse()--> struct config --config_settings()--> the lines of "stats settings"
 *                       \--> struct config_report: the error, or the warnings
 *
 * Every option of memcached's command line is accepted, short, long, and below -o. Each stands
 * once, in the table of option.c, with its kind:
 *
 *   taken    it does here what it does in memcached;
 *   inert    it tunes something this server does not have (slab classes, segmented LRU, flash). It
 *            is checked, shown again by "stats settings", has no effect, and one warning says so;
 *   refused  somebody who asks for it must not get a server without it: the start stops.
 *
 * A value that is wrong stops the start too, with EX_USAGE (64); an option that nobody knows or
 * that lacks its argument, with 1, as memcached has it. This module only parses: opening, printing
 * and ending are the caller's, but for the file that --config names.
 *
 * Threads: none of its own; after config_parse() a struct config is plain data.
 * Source: memcached 1.6.45 memcached.c (options and their checks), probed on Debian's 1.6.18.
 */
#ifndef SERVER_ADMIN_CONFIG_H
#define SERVER_ADMIN_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONFIG_PROGRAM           "zbcached"
#define CONFIG_PROGRAM_VERSION   "0.1.0"

#define CONFIG_PORT_ANY          (-1) /* the system chooses a free one */
#define CONFIG_PORT_UNSET        (-2) /* of a listen address: struct config's port holds */

#define CONFIG_SOCKETS_FIRST     3  /* sd_listen_fds(3) */
#define CONFIG_PROTOCOL_ASCII    1u /* of -B's choices */
#define CONFIG_ITEM_BYTES_MIN    1024u
#define CONFIG_ITEM_BYTES_MAX    (128u << 20)
#define CONFIG_MEMORY_BYTES_MAX  (((size_t)1 << 39) - ((size_t)2 << 20)) /* the cache's */
#define CONFIG_THREADS_MAX       1024u
#define CONFIG_THREADS_WARN      64u
#define CONFIG_CONNS_MAX         10000000u
#define CONFIG_ADDRESSES_MAX     64u
#define CONFIG_HOST_BYTES_MAX    255u        /* a DNS name's limit, RFC 1035 2.3.4 */
#define CONFIG_HTTP_HOST         "127.0.0.1" /* where --http names a port alone */
#define CONFIG_LISTEN_BYTES_MAX  4095u
#define CONFIG_FILE_BYTES_MAX    65536u
#define CONFIG_TEXT_BYTES_MAX    8192u /* of all texts from files and below -o */
#define CONFIG_WARNINGS_MAX      64u
#define CONFIG_WARNING_BYTES_MAX 255u
#define CONFIG_ERROR_BYTES_MAX   511u

/** Whether connections speak TLS. */
enum config_tls {
    CONFIG_TLS_NONE,    /* notls:, unix sockets, and everywhere without -Z */
    CONFIG_TLS_DEFAULT, /* as -o ssl_verify_mode says */
    CONFIG_TLS_BASIC,   /* btls: clients need no certificate */
    CONFIG_TLS_MUTUAL,  /* mtls: they do */
};

#define CONFIG_TLS_1_2        2u /* of -o ssl_min_version, memcached's numbers */
#define CONFIG_TLS_1_3        3u
#define CONFIG_TLS_VERIFY_ALL 2u /* of -o ssl_verify_mode: from here on clients need certificates */

/** One place to listen on: a name or number for getaddrinfo(). */
struct config_address {
    char host[CONFIG_HOST_BYTES_MAX + 1]; /* empty: every interface */
    int32_t port;                         /* or CONFIG_PORT_UNSET, CONFIG_PORT_ANY */
    uint32_t tls;                         /* enum config_tls; without -Z CONFIG_TLS_NONE */
};

/** Values of inert options, kept only to be shown. Fractions are in millionths. */
struct config_inert {
    uint64_t growth_factor;
    uint64_t slab_automove_ratio, slab_automove_freeratio;
    uint64_t hot_max_factor, warm_max_factor, ext_max_frag;
    uint64_t read_buf_mem_bytes;
    uint64_t slab_chunk_bytes_max, ext_wbuf_bytes, ssl_wbuf_bytes;
    uint32_t chunk_bytes, hashpower, napi_ids;
    uint32_t slab_automove, slab_automove_window_s, tail_repair_time_s;
    uint32_t lru_crawler_sleep_us, lru_crawler_tocrawl, temporary_ttl_s;
    uint32_t hot_lru_pct, warm_lru_pct;
    uint32_t ext_item_bytes, ext_item_age_s, ext_low_ttl_s, ext_recache_rate;
    uint32_t ext_compact_under, ext_drop_under, ext_max_sleep_us;
    bool slab_reassign, lru_crawler, lru_maintainer, lru_segmented, temp_lru, ext_drop_unread;
};

/** Text members borrow argv's strings, or lie in @texts, and are NULL where the option was not
 * given. */
struct config {
    /* network */
    int32_t port;          /* -p: TCP; 0: none; CONFIG_PORT_ANY */
    bool port_given;       /* -p */
    int32_t udp_port;      /* -U: 0: none; CONFIG_PORT_ANY */
    const char *unix_path; /* -s: when given, listen there and nowhere else */
    uint32_t unix_mask;    /* -a: mode bits of the socket's file */
    uint32_t conns_max;    /* -c */
    uint32_t backlog;      /* -b */
    uint32_t reqs_per_event;
    uint32_t idle_timeout_s;  /* 0: never */
    bool maxconns_fast;       /* over -c: answer an error and close, instead of accepting no more */
    uint32_t addresses_count; /* -l; 0: every interface */
    struct config_address addresses[CONFIG_ADDRESSES_MAX];
    char listen[CONFIG_LISTEN_BYTES_MAX + 1]; /* -l as given, several joined by commas */
    struct config_address http;               /* --http; port 0: none */

    /* TLS */
    bool tls_enabled; /* -Z */
    const char *tls_chain_cert;
    const char *tls_key; /* NULL: in the chain's file */
    const char *tls_ca_cert;
    const char *tls_ciphers;  /* of TLS 1.2 */
    uint32_t tls_verify_mode; /* 0 none, 1 if there is one, 2 must be, 3 must be, once */
    uint32_t tls_keyformat;   /* 1 PEM, 2 DER */
    uint32_t tls_min_version; /* CONFIG_TLS_1_2 or CONFIG_TLS_1_3 */
    bool tls_session_cache;   /* clients may come back with a ticket */
    bool tls_kernel;

    /* memory */
    size_t memory_bytes; /* -m */
    size_t item_bytes_max;
    bool evict;              /* false: -M */
    bool compress;           /* false: -o no_compress */
    uint32_t settle_pct;     /* -o settle_pct, 0 to 100 of one core */
    bool lock_memory;        /* -k */
    const char *memory_path; /* -e: a file for what is stored; NULL: memory of the process's own */

    /* process */
    uint32_t threads;
    uint32_t verbosity;   /* number of -v */
    const char *user;     /* -u */
    const char *pid_path; /* -P */
    const char
        *port_path; /* where to write the ports; no option: the caller reads the environment */
    bool daemonize; /* -d */
    bool coredumps; /* -r */
    bool drop_privileges; /* -o drop_privileges */
    bool settings_asked;  /* --settings: show them, and do not serve */

    /* protocol */
    uint32_t protocol;     /* -B: 0 auto, or CONFIG_PROTOCOL_ASCII, which -Y says too */
    const char *auth_path; /* -Y: users and passwords; NULL: everybody may speak */
    char prefix_delimiter; /* -D */
    bool detail_enabled;   /* -D given: statistics by prefix from the start */
    bool cas_enabled;      /* false: -C */
    bool flush_enabled;    /* false: -F */
    bool dump_enabled;     /* false: -X */
    bool watch_enabled;    /* false: -W */
    uint64_t watcher_logbuf_bytes, worker_logbuf_bytes; /* of the command "watch" */
    bool shutdown_enabled;                              /* -A */
    bool track_sizes;                                   /* -o track_sizes */
    bool debugtime;                                     /* -o debugtime */

    /* Descriptors that listen already, from CONFIG_SOCKETS_FIRST on; no option: the caller has them
     * from whoever started it. With any, -l, -p and -s mean nothing. */
    uint32_t sockets_given;

    struct config_inert inert;

    uint32_t texts_used;
    char texts[CONFIG_TEXT_BYTES_MAX];
};

enum config_status {
    CONFIG_OK = 0,
    CONFIG_ASKS_HELP, /* -h: print config_print_help(), exit 0 */
    CONFIG_ASKS_VERSION,
    CONFIG_ASKS_LICENSE,
    CONFIG_ERROR, /* print the report's error, exit with its exit_code */
};

struct config_report {
    int exit_code;
    char error[CONFIG_ERROR_BYTES_MAX + 1];
    uint32_t warnings_count; /* one an inert option, however often it is given */
    char warnings[CONFIG_WARNINGS_MAX][CONFIG_WARNING_BYTES_MAX + 1];
};

/**
 * config_parse() - read a command line.
 * @argv:    as main() has it; read only, and must live as long as @config.
 * @as_root: the process runs as root, which needs -u as in memcached.
 * @config:  all of it is set, to defaults where nothing is asked for.
 * @report:  all of it is set; warnings are good whatever the status.
 *
 * Arguments are read as getopt_long() does: -vp11211, --port=11211, --port 11211, a long name's
 * unique beginning, '-' and '_' alike in long names, "--" ends the options. --config reads a file
 * of options (config_file.h) at its place: what comes behind it wins.
 */
enum config_status config_parse(int argc, char *const argv[], bool as_root, struct config *config,
                                struct config_report *report) __attribute__((warn_unused_result));

/** config_setting_fn - takes one line of "stats settings"; both strings are borrowed. */
typedef void config_setting_fn(void *context, const char *name, const char *value);

/** config_settings() - every setting, in memcached's order and format. */
void config_settings(const struct config *config, config_setting_fn *each, void *context);

/** config_print_help() - what -h shows, made from the table. */
void config_print_help(FILE *out);
/** config_print_license() - what -i shows. */
void config_print_license(FILE *out);

#endif
