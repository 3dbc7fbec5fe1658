#include "server/admin/option.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static_assert(sizeof(struct config) <= UINT16_MAX, "a field's offset fits 16 bits");
static_assert(CONFIG_ITEM_BYTES_MAX <= CONFIG_MEMORY_BYTES_MAX / 2, "-I can be half of -m");

#define KIB           1024
#define MIB           (1 << 20)
#define MEMORY_MB_MAX (CONFIG_MEMORY_BYTES_MAX / MIB)
#define PORT_MAX      65535
#define MILLIONTHS    1000000
#define U32_MAX       4294967295

#define PLACE(member)                                           \
    {                                                           \
        .offset = (uint16_t)offsetof(struct config, member),    \
        .bytes = (uint16_t)sizeof(((struct config *)0)->member) \
    }
#define INTO(member)           .field = PLACE(member)
#define ALSO(member)           .also = PLACE(member)
#define TAKEN(place)           .kind = OPTION_TAKEN, .section = SECTION_##place
#define INERT(reason)          .kind = OPTION_INERT, .section = SECTION_INERT, .why = reason
#define REFUSED(reason)        .kind = OPTION_REFUSED, .section = SECTION_REFUSED, .why = reason
#define ONLY_SHOWN             .kind = OPTION_NONE
#define LONG(c, text)          .letter = c, .name = text
#define SUB(text)              .extended = true, .name = text
#define FLAG(value)            .type = OPTION_FLAG, .set = (value)
#define ASK(status)            .type = OPTION_ASK, .set = (status)
#define RANGE(low, high)       .min = (int64_t)(low), .max = (int64_t)(high)
#define NUMBER(low, high)      .type = OPTION_NUMBER, .argument = "num", RANGE(low, high)
#define FRACTION(low, high)    .type = OPTION_FRACTION, .argument = "factor", RANGE(low, high)
#define TEXT(called)           .type = OPTION_TEXT, .argument = called
#define PATHNAME               .type = OPTION_PATH, .argument = "file"
#define SHOWN(how, called)     .show = SHOW_##how, .setting = called
#define CONSTANT(called, text) ONLY_SHOWN, SHOWN(CONSTANT, called), .shown = text

/* Reasons that several of memcached's options share. */
#define NO_SLABS               "values lie in zbud pages, there are no slab classes"
#define NO_LRUS                "zbud pages stand in one LRU order, without segments"
#define NO_CRAWLER             "expired items are collected in the background, always"
#define NO_FLASH               "there is no storage on flash"
#define NO_PROXY               "there is no proxy"

/* Ranges are memcached's own where it checks one; other upper ends are this program's limits or the
 * width of the field. */
const struct option_row OPTION_ROWS[] = {
    /* Those with a line in "stats settings", in its order. */
    {TAKEN(MEMORY), LONG('m', "memory-limit"), NUMBER(1, MEMORY_MB_MAX), .scale = MIB,
     INTO(memory_bytes), .initial = "64", .unit = "MB", SHOWN(NUMBER, "maxbytes"),
     .help = "memory of the whole process"},
    {TAKEN(NETWORK), LONG('c', "conn-limit"), NUMBER(1, CONFIG_CONNS_MAX), INTO(conns_max),
     .initial = "1024", SHOWN(NUMBER, "maxconns"), .help = "most connections at a time"},
    {TAKEN(NETWORK), LONG('p', "port"), NUMBER(CONFIG_PORT_ANY, PORT_MAX), INTO(port),
     ALSO(port_given), .initial = "11211", SHOWN(NUMBER, "tcpport"),
     .help = "TCP port to listen on; 0: none, -1: any free one"},
    {TAKEN(NETWORK), LONG('U', "udp-port"), NUMBER(CONFIG_PORT_ANY, PORT_MAX), INTO(udp_port),
     .initial = "0", SHOWN(NUMBER, "udpport"),
     .help = "UDP port to listen on, and TCP's too if -p is not given; 0: none, -1: any free one; "
             "replies are at most 3 times as long as the request"},
    {TAKEN(NETWORK), LONG('l', "listen"), .type = OPTION_LISTEN, .argument = "addr", INTO(listen),
     SHOWN(ARRAY, "inter"),
     .help = "addresses to listen on, parted by commas: host, host:port, [v6]:port, *; can be "
             "repeated (default: every interface); with -Z, before an address, notls: not there, "
             "btls: without and mtls: with a client's certificate"},
    {TAKEN(PROCESS), LONG('v', "verbose"), .type = OPTION_COUNT, INTO(verbosity), .max = 9,
     SHOWN(NUMBER, "verbosity"), .help = "say more on stderr; -vv: commands too"},
    {CONSTANT("oldest", "0")},
    {TAKEN(MEMORY), LONG('M', "disable-evictions"), FLAG(0), INTO(evict), .initial = "1",
     SHOWN(ON_OFF, "evictions"), .help = "when memory is full answer an error, evict nothing"},
    {TAKEN(NETWORK), LONG('s', "unix-socket"), PATHNAME, INTO(unix_path),
     SHOWN(TEXT, "domain_socket"), .help = "listen on this UNIX socket, and on no network"},
    {TAKEN(NETWORK), LONG('a', "unix-mask"), .type = OPTION_OCTAL, .argument = "mask",
     RANGE(0, 0777), INTO(unix_mask), .initial = "700", SHOWN(OCTAL, "umask"),
     .help = "access mask of the UNIX socket, in octal"},
    {TAKEN(PROTOCOL), LONG('A', "enable-shutdown"), FLAG(1), INTO(shutdown_enabled),
     SHOWN(YES_NO, "shutdown_command"), .help = "allow the command \"shutdown\""},
    {INERT(NO_SLABS), LONG('f', "slab-growth-factor"), FRACTION(MILLIONTHS + 1, 1000 * MILLIONTHS),
     INTO(inert.growth_factor), .initial = "1.25", SHOWN(CENTS, "growth_factor")},
    {INERT(NO_SLABS), LONG('n', "slab-min-size"), NUMBER(1, U32_MAX), INTO(inert.chunk_bytes),
     .initial = "48", SHOWN(NUMBER, "chunk_size")},
    {TAKEN(PROCESS), LONG('t', "threads"), NUMBER(1, CONFIG_THREADS_MAX), INTO(threads),
     .initial = "4", SHOWN(NUMBER, "num_threads"), .help = "worker threads"},
    {ONLY_SHOWN, INTO(threads), SHOWN(NUMBER, "num_threads_per_udp")},
    {TAKEN(PROTOCOL), .letter = 'D', .type = OPTION_CHAR, .argument = "char",
     INTO(prefix_delimiter), ALSO(detail_enabled), .initial = ":", SHOWN(CHAR, "stat_key_prefix"),
     .help = "what ends a key's prefix, for statistics by prefix, which this turns on"},
    {ONLY_SHOWN, INTO(detail_enabled), SHOWN(YES_NO, "detail_enabled")},
    {TAKEN(NETWORK), LONG('R', "max-reqs-per-event"), NUMBER(1, INT32_MAX), INTO(reqs_per_event),
     .initial = "20", SHOWN(NUMBER, "reqs_per_event"),
     .help = "requests done for one connection before the others get their turn"},
    {TAKEN(PROTOCOL), LONG('C', "disable-cas"), FLAG(0), INTO(cas_enabled), .initial = "1",
     SHOWN(YES_NO, "cas_enabled"), .help = "no compare-and-swap"},
    {TAKEN(NETWORK), LONG('b', "listen-backlog"), NUMBER(0, INT32_MAX), INTO(backlog),
     .initial = "1024", SHOWN(NUMBER, "tcp_backlog"),
     .help = "connections the system queues before they are accepted"},
    {TAKEN(PROTOCOL), LONG('B', "protocol"), .type = OPTION_CHOICE, .argument = "name",
     INTO(protocol), .choices = "auto|ascii", .initial = "auto",
     .why = "the binary protocol is not supported", SHOWN(CHOICE, "binding_protocol"),
     .shown = "auto-negotiate|ascii", .help = "auto or ascii, which are the same here"},
    {CONSTANT("auth_enabled_sasl", "no")},
    {TAKEN(PROTOCOL), LONG('Y', "auth-file"), PATHNAME, INTO(auth_path), .none = "no",
     SHOWN(TEXT, "auth_enabled_ascii"),
     .help = "users and passwords, user:password on each of at most 8 lines, one of which a client "
             "must send first, as a set of \"user password\"; read again on SIGHUP"},
    {TAKEN(MEMORY), LONG('I', "max-item-size"), .type = OPTION_SIZE, .argument = "size",
     RANGE(CONFIG_ITEM_BYTES_MIN, CONFIG_ITEM_BYTES_MAX), INTO(item_bytes_max), .initial = "1m",
     SHOWN(NUMBER, "item_size_max"),
     .help = "largest item in bytes, or with k or m; 1k to 128m, at most half of -m"},
    {TAKEN(NETWORK), SUB("maxconns_fast"), FLAG(1), INTO(maxconns_fast), .initial = "1",
     SHOWN(YES_NO, "maxconns_fast"),
     .help = "over -c, answer new connections with an error and close them (default)"},
    {INERT("the index takes the size it needs"), SUB("hashpower"), NUMBER(12, 32),
     INTO(inert.hashpower), SHOWN(NUMBER, "hashpower_init")},
    {INERT(NO_SLABS), SUB("slab_reassign"), FLAG(1), INTO(inert.slab_reassign), .initial = "1",
     SHOWN(YES_NO, "slab_reassign")},
    {INERT(NO_SLABS), SUB("slab_automove"), NUMBER(0, 2), .argument_may_be = true, .set = 1,
     INTO(inert.slab_automove), .initial = "1", SHOWN(NUMBER, "slab_automove")},
    {INERT(NO_SLABS), SUB("slab_automove_ratio"), FRACTION(0, 1000 * MILLIONTHS),
     INTO(inert.slab_automove_ratio), .initial = "0.8", SHOWN(CENTS, "slab_automove_ratio")},
    {INERT(NO_SLABS), SUB("slab_automove_window"), NUMBER(3, 1800),
     INTO(inert.slab_automove_window_s), .initial = "10", SHOWN(NUMBER, "slab_automove_window")},
    {INERT(NO_SLABS), SUB("slab_chunk_max"), NUMBER(1, U32_MAX / KIB), .scale = KIB,
     INTO(inert.slab_chunk_bytes_max), .initial = "512", SHOWN(NUMBER, "slab_chunk_max")},
    {INERT(NO_CRAWLER), SUB("lru_crawler"), FLAG(1), INTO(inert.lru_crawler), .initial = "1",
     SHOWN(YES_NO, "lru_crawler")},
    {INERT(NO_CRAWLER), SUB("lru_crawler_sleep"), NUMBER(0, MILLIONTHS),
     INTO(inert.lru_crawler_sleep_us), .initial = "100", SHOWN(NUMBER, "lru_crawler_sleep")},
    {INERT(NO_CRAWLER), SUB("lru_crawler_tocrawl"), NUMBER(0, U32_MAX),
     INTO(inert.lru_crawler_tocrawl), SHOWN(NUMBER, "lru_crawler_tocrawl")},
    {INERT("no item can be stuck"), SUB("tail_repair_time"), NUMBER(10, INT32_MAX),
     INTO(inert.tail_repair_time_s), SHOWN(NUMBER, "tail_repair_time")},
    {TAKEN(PROTOCOL), LONG('F', "disable-flush-all"), FLAG(0), INTO(flush_enabled), .initial = "1",
     SHOWN(YES_NO, "flush_enabled"), .help = "refuse the command \"flush_all\""},
    {TAKEN(PROTOCOL), LONG('X', "disable-dumping"), FLAG(0), INTO(dump_enabled), .initial = "1",
     SHOWN(YES_NO, "dump_enabled"), .help = "refuse the commands that list keys"},
    {CONSTANT("hash_algorithm", "xxh3")},
    {INERT(NO_LRUS), SUB("lru_maintainer"), FLAG(1), INTO(inert.lru_maintainer), .initial = "1",
     SHOWN(YES_NO, "lru_maintainer_thread")},
    {ONLY_SHOWN, INTO(inert.lru_segmented), SHOWN(YES_NO, "lru_segmented")},
    {INERT(NO_LRUS), SUB("hot_lru_pct"), NUMBER(1, 80), INTO(inert.hot_lru_pct), .initial = "20",
     SHOWN(NUMBER, "hot_lru_pct")},
    {INERT(NO_LRUS), SUB("warm_lru_pct"), NUMBER(1, 80), INTO(inert.warm_lru_pct), .initial = "40",
     SHOWN(NUMBER, "warm_lru_pct")},
    {INERT(NO_LRUS), SUB("hot_max_factor"), FRACTION(1, 1000 * MILLIONTHS),
     INTO(inert.hot_max_factor), .initial = "0.2", SHOWN(CENTS, "hot_max_factor")},
    {INERT(NO_LRUS), SUB("warm_max_factor"), FRACTION(1, 1000 * MILLIONTHS),
     INTO(inert.warm_max_factor), .initial = "2.0", SHOWN(CENTS, "warm_max_factor")},
    {ONLY_SHOWN, INTO(inert.temp_lru), SHOWN(YES_NO, "temp_lru")},
    {INERT(NO_LRUS), SUB("temporary_ttl"), NUMBER(0, U32_MAX), INTO(inert.temporary_ttl_s),
     ALSO(inert.temp_lru), .initial = "61", SHOWN(NUMBER, "temporary_ttl")},
    {TAKEN(NETWORK), SUB("idle_timeout"), NUMBER(0, INT32_MAX), INTO(idle_timeout_s),
     .initial = "0", SHOWN(NUMBER, "idle_timeout"),
     .help = "seconds without a command after which a connection is closed; 0: never"},
    {TAKEN(PROTOCOL), SUB("watcher_logbuf_size"), NUMBER(1, U32_MAX / KIB), .scale = KIB,
     INTO(watcher_logbuf_bytes), .initial = "256", .unit = "KB",
     SHOWN(NUMBER, "watcher_logbuf_size"),
     .help = "lines that may wait for one who watches; beyond that some are skipped"},
    {TAKEN(PROTOCOL), SUB("worker_logbuf_size"), NUMBER(1, U32_MAX / KIB), .scale = KIB,
     INTO(worker_logbuf_bytes), .initial = "64", .unit = "KB", SHOWN(NUMBER, "worker_logbuf_size"),
     .help = "events that may wait in each thread while somebody watches"},
    {INERT("buffers count against -m"), SUB("read_buf_mem_limit"), NUMBER(0, MEMORY_MB_MAX),
     .scale = MIB, INTO(inert.read_buf_mem_bytes), SHOWN(NUMBER, "read_buf_mem_limit")},
    {TAKEN(PROTOCOL), SUB("track_sizes"), FLAG(1), INTO(track_sizes), SHOWN(YES_NO, "track_sizes"),
     .help = "answer \"stats sizes\""},
    {CONSTANT("inline_ascii_response", "no")},
    {INERT(NO_FLASH), SUB("ext_item_size"), NUMBER(0, U32_MAX), INTO(inert.ext_item_bytes),
     .initial = "512", SHOWN(NUMBER, "ext_item_size")},
    {INERT(NO_FLASH), SUB("ext_item_age"), NUMBER(0, U32_MAX), INTO(inert.ext_item_age_s),
     .initial = "4294967295", SHOWN(NUMBER, "ext_item_age")},
    {INERT(NO_FLASH), SUB("ext_low_ttl"), NUMBER(0, U32_MAX), INTO(inert.ext_low_ttl_s),
     SHOWN(NUMBER, "ext_low_ttl")},
    {INERT(NO_FLASH), SUB("ext_recache_rate"), NUMBER(0, U32_MAX), INTO(inert.ext_recache_rate),
     .initial = "2000", SHOWN(NUMBER, "ext_recache_rate")},
    {INERT(NO_FLASH), SUB("ext_wbuf_size"), NUMBER(1, U32_MAX / MIB), .scale = MIB,
     INTO(inert.ext_wbuf_bytes), .initial = "4", SHOWN(NUMBER, "ext_wbuf_size")},
    {INERT(NO_FLASH), SUB("ext_compact_under"), NUMBER(0, U32_MAX), INTO(inert.ext_compact_under),
     SHOWN(NUMBER, "ext_compact_under")},
    {INERT(NO_FLASH), SUB("ext_drop_under"), NUMBER(0, U32_MAX), INTO(inert.ext_drop_under),
     SHOWN(NUMBER, "ext_drop_under")},
    {INERT(NO_FLASH), SUB("ext_max_sleep"), NUMBER(0, U32_MAX), INTO(inert.ext_max_sleep_us),
     .initial = "1000000", SHOWN(NUMBER, "ext_max_sleep")},
    {INERT(NO_FLASH), SUB("ext_max_frag"), FRACTION(0, 1000 * MILLIONTHS), INTO(inert.ext_max_frag),
     .initial = "0.8", SHOWN(CENTS, "ext_max_frag")},
    {INERT(NO_SLABS), SUB("slab_automove_freeratio"), FRACTION(0, 1000 * MILLIONTHS),
     INTO(inert.slab_automove_freeratio), .initial = "0.01",
     SHOWN(MILLS, "slab_automove_freeratio")},
    {INERT(NO_FLASH), SUB("ext_drop_unread"), FLAG(1), INTO(inert.ext_drop_unread),
     SHOWN(YES_NO, "ext_drop_unread")},
    {TAKEN(TLS), LONG('Z', "enable-ssl"), FLAG(1), INTO(tls_enabled), SHOWN(YES_NO, "ssl_enabled"),
     .help = "speak TLS on every TCP port, but for addresses with notls: before them (-l)"},
    {TAKEN(TLS), SUB("ssl_chain_cert"), PATHNAME, INTO(tls_chain_cert), .none = "(null)",
     SHOWN(TEXT, "ssl_chain_cert"),
     .help =
         "the server's certificate and those it stands on, PEM; read again on SIGHUP and by the "
         "command \"refresh_certs\", as the others"},
    {TAKEN(TLS), SUB("ssl_key"), PATHNAME, INTO(tls_key), .none = "(null)", SHOWN(TEXT, "ssl_key"),
     .help = "its private key, if not in that file"},
    {TAKEN(TLS), SUB("ssl_verify_mode"), NUMBER(0, 3), INTO(tls_verify_mode), .initial = "0",
     SHOWN(NUMBER, "ssl_verify_mode"),
     .help = "a client's certificate: 0 not asked for, 1 verified if there is one, 2 and 3 needed"},
    {TAKEN(TLS), SUB("ssl_keyformat"), NUMBER(1, 2), INTO(tls_keyformat), .initial = "1",
     SHOWN(NUMBER, "ssl_keyformat"), .help = "of the private key: 1 PEM, 2 DER"},
    {TAKEN(TLS), SUB("ssl_ciphers"), TEXT("list"), INTO(tls_ciphers), SHOWN(TEXT, "ssl_ciphers"),
     .help = "ciphers of TLS 1.2, in OpenSSL's words"},
    {TAKEN(TLS), SUB("ssl_ca_cert"), PATHNAME, INTO(tls_ca_cert), SHOWN(TEXT, "ssl_ca_cert"),
     .help = "authorities that clients' certificates must stand on, PEM"},
    {INERT("replies are gathered in 64 KiB anyway"), SUB("ssl_wbuf_size"), NUMBER(1, U32_MAX / KIB),
     .scale = KIB, INTO(inert.ssl_wbuf_bytes), .initial = "16", SHOWN(NUMBER, "ssl_wbuf_size")},
    {TAKEN(TLS), SUB("ssl_session_cache"), FLAG(1), INTO(tls_session_cache),
     SHOWN(YES_NO, "ssl_session_cache"),
     .help = "let clients resume sessions, by tickets that they keep"},
    {TAKEN(TLS), SUB("ssl_kernel_tls"), FLAG(1), INTO(tls_kernel), SHOWN(YES_NO, "ssl_kernel_tls"),
     .help = "have the kernel encrypt, where it can"},
    {TAKEN(TLS), SUB("ssl_min_version"), NUMBER(CONFIG_TLS_1_2, CONFIG_TLS_1_3),
     INTO(tls_min_version), .initial = "2", .why = "TLS 1.0 and 1.1 are not safe",
     SHOWN(CHOICE, "ssl_min_version"), .shown = "tlsv1.0|tlsv1.1|tlsv1.2|tlsv1.3",
     .help = "oldest version to speak: 2 for TLS 1.2, 3 for TLS 1.3"},
    {INERT("threads are not bound to network queues"), LONG('N', "napi-ids"), NUMBER(0, U32_MAX),
     INTO(inert.napi_ids), .initial = "0", SHOWN(NUMBER, "num_napi_ids")},
    {TAKEN(MEMORY), LONG('e', "memory-file"), PATHNAME, INTO(memory_path), .none = "(null)",
     SHOWN(TEXT, "memory_file"),
     .help = "keep what is stored in this file, on tmpfs or a DAX mount, and find it there again "
             "after a stop, a kill or an upgrade"},
    {CONSTANT("client_flags_size", "4")},

    /* Those without a line of their own. */
    {TAKEN(NETWORK), .name = "http", .type = OPTION_ADDRESS, .argument = "addr:port",
     RANGE(CONFIG_PORT_ANY, PORT_MAX), INTO(http), .initial = "0",
     .help = "serve a dashboard, and figures for Prometheus at /metrics, over HTTP there; a port "
             "alone is 127.0.0.1's; 0: none, -1: any free one"},
    {TAKEN(NETWORK), SUB("no_maxconns_fast"), FLAG(0), INTO(maxconns_fast),
     .help = "over -c, accept no connection until one closes"},
    {TAKEN(PROTOCOL), SUB("debugtime"), FLAG(1), INTO(debugtime),
     .help = "allow the command \"debugtime\", which moves the clock: for tests"},
    {TAKEN(MEMORY), SUB("no_compress"), FLAG(0), INTO(compress), .initial = "1",
     .help = "store values as they are"},
    {TAKEN(MEMORY), SUB("settle_pct"), NUMBER(0, 100), INTO(settle_pct), .initial = "20",
     .help = "share of one core, in percent, for the background to compress again, at the high "
             "level, what was stored a while ago; 0: not at all"},
    {TAKEN(MEMORY), LONG('k', "lock-memory"), FLAG(1), INTO(lock_memory),
     .help = "lock all memory, so that none is swapped out"},
    {TAKEN(PROCESS), LONG('d', "daemon"), FLAG(1), INTO(daemonize),
     .help = "run as a daemon, in the root folder; paths are still those from where it is started"},
    {TAKEN(PROCESS), LONG('u', "user"), TEXT("user"), INTO(user),
     .help = "user to become when started as root"},
    {TAKEN(PROCESS), LONG('P', "pidfile"), PATHNAME, INTO(pid_path),
     .help = "file to write the process id to"},
    {TAKEN(PROCESS), LONG('r', "enable-coredumps"), FLAG(1), INTO(coredumps),
     .help = "allow core files of any size, with all that is cached in them; else there are none"},
    {TAKEN(PROCESS), LONG('o', "extended"), .type = OPTION_EXTENDED, .argument = "name[=value],...",
     .help = "options of the form -o name or -o name=value, here and below"},
    {TAKEN(PROCESS), .name = "config", .type = OPTION_FILE, .argument = "file",
     .help =
         "options from a file, one a line as here, lines with # are comments; what comes behind "
         "it on the command line wins"},
    {TAKEN(PROTOCOL), LONG('W', "disable-watch"), FLAG(0), INTO(watch_enabled), .initial = "1",
     .help = "refuse the command \"watch\""},
    {TAKEN(PROTOCOL), SUB("modern"), FLAG(0), .help = "today's defaults, which hold anyway"},
    {TAKEN(PROTOCOL), SUB("no_modern"), FLAG(0), INTO(maxconns_fast),
     .help = "defaults of memcached 1.4: no_maxconns_fast"},
    {TAKEN(PROCESS), SUB("drop_privileges"), FLAG(1), INTO(drop_privileges),
     .help = "once it serves, allow only the system calls that serving takes (seccomp): any other "
             "ends the server"},
    {TAKEN(PROCESS), SUB("no_drop_privileges"), FLAG(0), INTO(drop_privileges),
     .help = "no filter of system calls (default)"},
    {TAKEN(PROTOCOL), SUB("relaxed_privileges"), FLAG(0), .help = "for memcached's own tests"},
    {TAKEN(PROTOCOL), SUB("no_inline_ascii_resp"), FLAG(0), .help = "as it is anyway"},
    {TAKEN(PROTOCOL), SUB("no_chunked_items"), FLAG(0), .help = "as it is anyway"},
    {TAKEN(ABOUT), .name = "settings", FLAG(1), INTO(settings_asked),
     .help = "print what \"stats settings\" would answer and exit: are these options right?"},
    {TAKEN(ABOUT), LONG('h', "help"), ASK(CONFIG_ASKS_HELP), .help = "print this and exit"},
    {TAKEN(ABOUT), LONG('i', "license"), ASK(CONFIG_ASKS_LICENSE),
     .help = "print the licence and exit"},
    {TAKEN(ABOUT), LONG('V', "version"), ASK(CONFIG_ASKS_VERSION),
     .help = "print the version and exit"},

    {INERT("large pages are asked for anyway"), LONG('L', "enable-largepages"), FLAG(1)},
    {INERT("the index takes the size it needs"), SUB("no_hashexpand"), FLAG(1)},
    {INERT("keys are always hashed with xxh3"), SUB("hash_algorithm"), .type = OPTION_CHOICE,
     .argument = "name", .choices = "jenkins|murmur3|xxh3"},
    {INERT(NO_SLABS), SUB("no_slab_reassign"), FLAG(0), INTO(inert.slab_reassign)},
    {INERT(NO_SLABS), SUB("no_slab_automove"), FLAG(0), INTO(inert.slab_automove)},
    {INERT(NO_SLABS), SUB("slab_sizes"), TEXT("a-b-c")},
    {INERT(NO_CRAWLER), SUB("no_lru_crawler"), FLAG(0), INTO(inert.lru_crawler)},
    {INERT(NO_LRUS), SUB("no_lru_maintainer"), FLAG(0), INTO(inert.lru_maintainer)},
    {INERT("sockets are not marked"), SUB("sock_cookie_id"), NUMBER(0, U32_MAX)},
    {INERT("answers are formatted another way"), SUB("inline_ascii_resp"), FLAG(1)},
    {INERT("buffers count against -m"), SUB("resp_obj_mem_limit"), NUMBER(0, MEMORY_MB_MAX)},
    {INERT(NO_FLASH), SUB("ext_path"), TEXT("file:size")},
    {INERT(NO_FLASH), SUB("ext_page_size"), NUMBER(1, U32_MAX)},
    {INERT(NO_FLASH), SUB("ext_threads"), NUMBER(1, U32_MAX)},

    {REFUSED("SASL belongs to the binary protocol, which is not supported"),
     LONG('S', "enable-sasl"), FLAG(1)},
    {REFUSED(NO_PROXY), SUB("proxy_config"), TEXT("file")},
    {REFUSED(NO_PROXY), SUB("proxy_arg"), TEXT("text")},
    {REFUSED(NO_PROXY), SUB("proxy_uring"), FLAG(1)},
    {REFUSED(NO_PROXY), SUB("proxy_memprofile"), FLAG(1)},
};

const size_t OPTION_ROWS_COUNT = sizeof(OPTION_ROWS) / sizeof(OPTION_ROWS[0]);

int64_t option_read(const struct config *config, const struct option_row *row)
{
    const uint8_t *field = (const uint8_t *)config + row->field.offset;
    uint32_t narrow;
    uint64_t wide;

    switch (row->field.bytes) {
    case 1:
        return *field;
    case 4:
        memcpy(&narrow, field, sizeof(narrow));
        return row->min < 0 ? (int64_t)(int32_t)narrow : (int64_t)narrow;
    default:
        assert(row->field.bytes == 8);
        memcpy(&wide, field, sizeof(wide));
        return (int64_t)wide;
    }
}

bool option_choice(const char *choices, size_t n, const char **name, size_t *name_bytes)
{
    const char *start = choices;

    for (; n > 0; n--) {
        start = strchr(start, '|');
        if (start == NULL)
            return false;
        start++;
    }
    *name = start;
    *name_bytes = strcspn(start, "|");
    return true;
}

const char *option_section_title(enum option_section section)
{
    static const char *const TITLES[SECTIONS_COUNT] = {
        [SECTION_NETWORK] = "Network",
        [SECTION_TLS] = "TLS",
        [SECTION_MEMORY] = "Memory",
        [SECTION_PROCESS] = "Process",
        [SECTION_PROTOCOL] = "Protocol",
        [SECTION_ABOUT] = "About",
        [SECTION_INERT] = "Accepted as in memcached, without effect here",
        [SECTION_REFUSED] = "Refused",
    };

    return TITLES[section];
}

const char *option_name(const struct option_row *row, char name[OPTION_NAME_BYTES])
{
    if (row->extended)
        snprintf(name, OPTION_NAME_BYTES, "-o %s", row->name);
    else if (row->name == NULL)
        snprintf(name, OPTION_NAME_BYTES, "-%c", row->letter);
    else if (row->letter == 0)
        snprintf(name, OPTION_NAME_BYTES, "--%s", row->name);
    else
        snprintf(name, OPTION_NAME_BYTES, "-%c, --%s", row->letter, row->name);
    return name;
}
