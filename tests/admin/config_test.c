/*
 * config_test.c - the command line: every row of the table, every range at both ends, what
 * memcached answers to wrong ones, and command lines made at random.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "server/admin/config.h"
#include "server/admin/option.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX  32
#define TEXT_BYTES     256
#define RANDOM_LINES   50000
#define SETTINGS_COUNT 77

struct fixture {
    struct config config;
    struct config_report report;
    bool as_root;
    int argc;
    char *
        argv[ARGUMENTS_MAX + 2]; /* copies; they live as long as the config that points into them */
};

static void free_arguments(struct fixture *fixture)
{
    for (int i = 0; i < fixture->argc; i++)
        free(fixture->argv[i]);
    fixture->argc = 0;
}

static int set_up(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    free_arguments(*state);
    free(*state);
    return 0;
}

/* Parses the program's name and what stands before the NULL. */
static enum config_status parse(struct fixture *fixture, const char *const *arguments)
{
    free_arguments(fixture);
    fixture->argv[fixture->argc++] = strdup("zbcached");
    for (; *arguments != NULL && fixture->argc <= ARGUMENTS_MAX; arguments++)
        fixture->argv[fixture->argc++] = strdup(*arguments);
    fixture->argv[fixture->argc] = NULL;
    /* The members hold nonsense before, so that one which is not set shows. */
    memset(&fixture->config, 0xa5, sizeof(fixture->config));
    memset(&fixture->report, 0xa5, sizeof(fixture->report));
    return config_parse(fixture->argc, fixture->argv, fixture->as_root, &fixture->config,
                        &fixture->report);
}

#define PARSE(fixture, ...) parse(fixture, (const char *const[]){__VA_ARGS__, NULL})

static void expect_error(struct fixture *fixture, enum config_status status, int exit_code,
                         const char *part)
{
    assert_int_equal(status, CONFIG_ERROR);
    if (fixture->report.exit_code != exit_code || strstr(fixture->report.error, part) == NULL)
        fail_msg("exit %d, \"%s\"; wanted exit %d and \"%s\"", fixture->report.exit_code,
                 fixture->report.error, exit_code, part);
}

#define EXPECT_ERROR(fixture, exit_code, part, ...) \
    expect_error(fixture, PARSE(fixture, __VA_ARGS__), exit_code, part)

/* ---- every row ---- */

/* Some argument that the row takes. */
static const char *sample_of(const struct option_row *row, char text[TEXT_BYTES])
{
    const char *choice = NULL;
    size_t choice_bytes = 0;

    if (row->type == OPTION_CHOICE) {
        assert_true(option_choice(row->choices, 0, &choice, &choice_bytes));
        snprintf(text, TEXT_BYTES, "%.*s", (int)choice_bytes, choice);
    } else if (row->type == OPTION_FILE) {
        snprintf(text, TEXT_BYTES, "/dev/null");
    } else if (row->type == OPTION_EXTENDED) {
        snprintf(text, TEXT_BYTES, "modern");
    } else if (row->initial != NULL) {
        snprintf(text, TEXT_BYTES, "%s", row->initial);
    } else if (row->type == OPTION_NUMBER) {
        snprintf(text, TEXT_BYTES, "%" PRId64, row->min);
    } else {
        snprintf(text, TEXT_BYTES, "x");
    }
    return text;
}

/* The row's outcome, whichever way it was written. */
static void check_outcome(struct fixture *fixture, const struct option_row *row,
                          enum config_status status)
{
    char name[OPTION_NAME_BYTES];

    option_name(row, name);
    if (row->kind == OPTION_REFUSED) {
        expect_error(fixture, status, 64, row->why);
        assert_non_null(strstr(fixture->report.error, name));
        return;
    }
    if (status == CONFIG_ERROR)
        fail_msg("%s: %s", name, fixture->report.error);
    assert_int_equal(status, row->type == OPTION_ASK ? row->set : CONFIG_OK);
    assert_int_equal(fixture->report.warnings_count, row->kind == OPTION_INERT ? 1 : 0);
    if (row->kind == OPTION_INERT) {
        assert_non_null(strstr(fixture->report.warnings[0], name));
        assert_non_null(strstr(fixture->report.warnings[0], row->why));
    }
}

/* -Z needs them. */
#define FILES "-ossl_chain_cert=x,ssl_ca_cert=x"

static void test_every_row(void **state)
{
    struct fixture *fixture = *state;
    char sample[TEXT_BYTES];
    char text[2 * TEXT_BYTES];

    for (size_t i = 0; i < OPTION_ROWS_COUNT; i++) {
        const struct option_row *row = &OPTION_ROWS[i];
        bool argument = row->argument != NULL;

        if (row->kind == OPTION_NONE)
            continue;
        sample_of(row, sample);
        if (row->letter != 0) {
            snprintf(text, sizeof(text), "-%c%s", row->letter, argument ? sample : "");
            check_outcome(fixture, row, PARSE(fixture, FILES, text));
            snprintf(text, sizeof(text), "-%c", row->letter);
            check_outcome(fixture, row, PARSE(fixture, FILES, text, argument ? sample : "--"));
        }
        if (row->name == NULL)
            continue;
        snprintf(text, sizeof(text), "%s%s%s%s", row->extended ? "-o" : "--", row->name,
                 argument ? "=" : "", argument ? sample : "");
        check_outcome(fixture, row, PARSE(fixture, FILES, text));
    }
}

static void test_names_are_unique(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPTION_ROWS_COUNT; i++) {
        const struct option_row *row = &OPTION_ROWS[i];

        for (size_t j = 0; j < i; j++) {
            const struct option_row *other = &OPTION_ROWS[j];

            if (row->letter != 0)
                assert_int_not_equal(row->letter, other->letter);
            if (row->name != NULL && other->name != NULL && row->extended == other->extended)
                assert_string_not_equal(row->name, other->name);
            if (row->setting != NULL && other->setting != NULL)
                assert_string_not_equal(row->setting, other->setting);
        }
    }
}

/* memcached's letters and suboptions, from its 1.6.45's list: none may be unknown here. */
static void test_nothing_is_lacking(void **state)
{
    /* clang-format off */
    static const char *const SUBOPTIONS[] = {
        "maxconns_fast", "no_maxconns_fast", "hashpower", "no_hashexpand", "idle_timeout",
        "hash_algorithm", "track_sizes", "watcher_logbuf_size", "worker_logbuf_size",
        "read_buf_mem_limit", "no_drop_privileges", "drop_privileges", "sock_cookie_id",
        "slab_reassign", "slab_automove", "slab_automove_ratio", "slab_automove_window",
        "slab_automove_freeratio", "no_slab_reassign", "no_slab_automove", "slab_sizes",
        "slab_chunk_max", "tail_repair_time", "lru_crawler", "lru_crawler_sleep",
        "lru_crawler_tocrawl", "lru_maintainer", "hot_lru_pct", "warm_lru_pct", "hot_max_factor",
        "warm_max_factor", "temporary_ttl", "no_lru_crawler", "no_lru_maintainer", "modern",
        "no_modern", "no_inline_ascii_resp", "inline_ascii_resp", "no_chunked_items",
        "resp_obj_mem_limit", "ssl_chain_cert", "ssl_key", "ssl_verify_mode", "ssl_keyformat",
        "ssl_ciphers", "ssl_ca_cert", "ssl_wbuf_size", "ssl_session_cache", "ssl_kernel_tls",
        "ssl_min_version", "ext_path", "ext_page_size", "ext_wbuf_size", "ext_threads",
        "ext_item_size", "ext_item_age", "ext_low_ttl", "ext_drop_unread", "ext_recache_rate",
        "ext_compact_under", "ext_drop_under", "ext_max_frag", "ext_max_sleep", "proxy_config",
        "proxy_arg", "proxy_uring", "proxy_memprofile", "relaxed_privileges",
    };
    /* clang-format on */
    static const char LETTERS[] = "pUsaAldrumMckvhiVPfnLDtRCbBISFXWYeZNo";
    struct fixture *fixture = *state;
    char text[TEXT_BYTES];

    for (size_t i = 0; i < sizeof(SUBOPTIONS) / sizeof(SUBOPTIONS[0]); i++) {
        snprintf(text, sizeof(text), "-o%s=1", SUBOPTIONS[i]);
        (void)PARSE(fixture, text);
        if (strstr(fixture->report.error, "Illegal") != NULL)
            fail_msg("%s", fixture->report.error);
    }
    for (const char *letter = LETTERS; *letter != '\0'; letter++) {
        snprintf(text, sizeof(text), "-%c", *letter);
        (void)PARSE(fixture, text, "1");
        if (strstr(fixture->report.error, "Illegal argument") != NULL)
            fail_msg("%s", fixture->report.error);
    }
}

/* ---- values ---- */

static enum config_status parse_value(struct fixture *fixture, const struct option_row *row,
                                      const char *value)
{
    char text[2 * TEXT_BYTES];

    if (row->extended)
        snprintf(text, sizeof(text), "-o%s=%s", row->name, value);
    else
        snprintf(text, sizeof(text), "-%c%s", row->letter, value);
    /* Roomy memory and small items first, so that only the row's own range is in the way. */
    if (row->letter == 'm')
        return PARSE(fixture, "-I", "1k", text);
    return PARSE(fixture, "-m", "1024", text);
}

static void write_value(const struct option_row *row, int64_t value, char text[TEXT_BYTES])
{
    if (row->type == OPTION_OCTAL)
        snprintf(text, TEXT_BYTES, "%" PRIo64, (uint64_t)value);
    else if (row->type == OPTION_FRACTION)
        snprintf(text, TEXT_BYTES, "%" PRId64 ".%06" PRId64, value / 1000000, value % 1000000);
    else
        snprintf(text, TEXT_BYTES, "%" PRId64, value);
}

static void test_every_range(void **state)
{
    static const char *const JUNK[] = {"",   "x",   "1x",  "0x10", " 1",    "1 ",
                                       "+1", "--1", "1e3", ".",    "1.2.3", "99999999999999999999",
                                       "k",  "1kk", "-"};
    struct fixture *fixture = *state;
    char text[TEXT_BYTES];
    unsigned rows_seen = 0;

    for (size_t i = 0; i < OPTION_ROWS_COUNT; i++) {
        const struct option_row *row = &OPTION_ROWS[i];

        if (row->kind == OPTION_NONE || row->kind == OPTION_REFUSED || row->type < OPTION_NUMBER ||
            row->type > OPTION_FRACTION)
            continue;
        rows_seen++;
        write_value(row, row->min, text);
        assert_int_equal(parse_value(fixture, row, text), CONFIG_OK);
        write_value(row, row->max, text);
        assert_int_equal(parse_value(fixture, row, text), CONFIG_OK);
        if (row->field.bytes != 0)
            assert_int_equal(option_read(&fixture->config, row),
                             row->max * (row->scale != 0 ? row->scale : 1));
        write_value(row, row->max + 1, text);
        expect_error(fixture, parse_value(fixture, row, text), 64, text);
        write_value(row, row->min - 1, text);
        if (row->min >= 1 || row->type != OPTION_FRACTION)
            expect_error(fixture, parse_value(fixture, row, text), 64, text);
        for (size_t j = 0; j < sizeof(JUNK) / sizeof(JUNK[0]); j++) {
            if (row->extended || JUNK[j][0] != '\0') /* "-t" alone is another mistake */
                expect_error(fixture, parse_value(fixture, row, JUNK[j]), 64, "");
        }
    }
    assert_in_range(rows_seen, 40, 60);
}

static void test_defaults(void **state)
{
    struct fixture *fixture = *state;
    const struct config *config = &fixture->config;

    assert_int_equal(PARSE(fixture, "--"), CONFIG_OK);
    assert_int_equal(config->port, 11211);
    assert_int_equal(config->udp_port, 0);
    assert_null(config->unix_path);
    assert_int_equal(config->unix_mask, 0700);
    assert_int_equal(config->conns_max, 1024);
    assert_int_equal(config->backlog, 1024);
    assert_int_equal(config->reqs_per_event, 20);
    assert_int_equal(config->idle_timeout_s, 0);
    assert_true(config->maxconns_fast);
    assert_int_equal(config->addresses_count, 0);
    assert_string_equal(config->listen, "");
    assert_int_equal(config->memory_bytes, 64 << 20);
    assert_int_equal(config->item_bytes_max, 1 << 20);
    assert_true(config->evict && config->compress && !config->lock_memory);
    assert_int_equal(config->threads, 4);
    assert_int_equal(config->verbosity, 0);
    assert_null(config->user);
    assert_null(config->pid_path);
    assert_null(config->port_path);
    assert_false(config->daemonize || config->coredumps || config->detail_enabled);
    assert_int_equal(config->prefix_delimiter, ':');
    assert_true(config->cas_enabled && config->flush_enabled && config->dump_enabled);
    assert_true(config->watch_enabled && !config->shutdown_enabled && !config->track_sizes);
}

static void test_fields(void **state)
{
    struct fixture *fixture = *state;
    const struct config *config = &fixture->config;

    assert_int_equal(PARSE(fixture, "-p", "-1", "-s", "/tmp/s", "-a", "777", "-c", "7", "-b", "8",
                           "-R", "9", "-m", "100", "-I", "2m", "-t", "3", "-u", "who", "-P", "/p",
                           "-vv", "-v", "-dkrMCFXWA", "-D", "_", "-o",
                           "idle_timeout=5,no_maxconns_fast,no_compress,settle_pct=7,track_sizes"),
                     CONFIG_OK);
    assert_int_equal(fixture->report.warnings_count, 0);
    assert_int_equal(config->port, CONFIG_PORT_ANY);
    assert_string_equal(config->unix_path, "/tmp/s");
    assert_int_equal(config->unix_mask, 0777);
    assert_int_equal(config->conns_max, 7);
    assert_int_equal(config->backlog, 8);
    assert_int_equal(config->reqs_per_event, 9);
    assert_int_equal(config->memory_bytes, 100 << 20);
    assert_int_equal(config->item_bytes_max, 2 << 20);
    assert_int_equal(config->threads, 3);
    assert_string_equal(config->user, "who");
    assert_string_equal(config->pid_path, "/p");
    assert_int_equal(config->verbosity, 3);
    assert_true(config->daemonize && config->lock_memory && config->coredumps);
    assert_false(config->evict || config->cas_enabled || config->flush_enabled);
    assert_false(config->dump_enabled || config->watch_enabled);
    assert_true(config->shutdown_enabled && config->detail_enabled && config->track_sizes);
    assert_int_equal(config->prefix_delimiter, '_');
    assert_int_equal(config->idle_timeout_s, 5);
    assert_false(config->maxconns_fast || config->compress);
    assert_int_equal(config->settle_pct, 7);
}

static void test_sizes(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(PARSE(fixture, "-I", "2000"), CONFIG_OK);
    assert_int_equal(fixture->config.item_bytes_max, 2000);
    assert_int_equal(PARSE(fixture, "-I", "3K"), CONFIG_OK);
    assert_int_equal(fixture->config.item_bytes_max, 3 << 10);
    assert_int_equal(PARSE(fixture, "-I", "32M"), CONFIG_OK);
    assert_int_equal(fixture->config.item_bytes_max, 32 << 20);
    /* Half of -m, whichever comes first. */
    EXPECT_ERROR(fixture, 64, "more than half", "-I", "33m");
    EXPECT_ERROR(fixture, 64, "more than half", "-I", "2m", "-m", "3");
    assert_int_equal(PARSE(fixture, "-I", "128m", "-m", "256"), CONFIG_OK);
    EXPECT_ERROR(fixture, 64, "\"129m\"", "-I", "129m", "-m", "1024");
    EXPECT_ERROR(fixture, 64, "9223372036854775807m", "-I", "9223372036854775807m");
}

/* ---- how options are written ---- */

static void test_writing(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(PARSE(fixture, "-vMp33"), CONFIG_OK);
    assert_int_equal(fixture->config.port, 33);
    assert_int_equal(PARSE(fixture, "--port", "34"), CONFIG_OK);
    assert_int_equal(fixture->config.port, 34);
    assert_int_equal(PARSE(fixture, "--po=35", "--max_reqs_per-event=2"), CONFIG_OK);
    assert_int_equal(fixture->config.port, 35);
    assert_int_equal(fixture->config.reqs_per_event, 2);
    assert_int_equal(PARSE(fixture, "-p1", "-p2"), CONFIG_OK);
    assert_int_equal(fixture->config.port, 2);
    assert_int_equal(PARSE(fixture, "-vvvvvvvvvvvv"), CONFIG_OK);
    assert_int_equal(fixture->config.verbosity, 9);
    /* "--listen" is also the beginning of "--listen-backlog". */
    assert_int_equal(PARSE(fixture, "--listen=::1", "--listen-backlog=5"), CONFIG_OK);
    assert_int_equal(fixture->config.backlog, 5);
    assert_int_equal(PARSE(fixture, "-oidle_timeout=3,", "-o", "track_sizes"), CONFIG_OK);
    assert_int_equal(PARSE(fixture, "-h", "--nonsense"), CONFIG_ASKS_HELP);
    assert_int_equal(PARSE(fixture, "--version"), CONFIG_ASKS_VERSION);
    assert_int_equal(PARSE(fixture, "-p0", "-i"), CONFIG_ASKS_LICENSE);
}

static void test_unknown(void **state)
{
    struct fixture *fixture = *state;

    EXPECT_ERROR(fixture, 1, "Illegal argument \"-x\"", "-x");
    EXPECT_ERROR(fixture, 1, "Illegal argument \"-x\"", "-vx");
    EXPECT_ERROR(fixture, 1, "Illegal argument \"--nope\"", "--nope");
    EXPECT_ERROR(fixture, 1, "Illegal argument \"--=1\"", "--=1");
    EXPECT_ERROR(fixture, 1, "Illegal argument \"--disable\"", "--disable");
    EXPECT_ERROR(fixture, 1, "Illegal argument \"--maxconns_fast\"", "--maxconns_fast");
    EXPECT_ERROR(fixture, 1, "Illegal suboption \"nope\"", "-o", "modern,nope");
    EXPECT_ERROR(fixture, 1, "Illegal suboption \"\"", "-o", ",modern");
    EXPECT_ERROR(fixture, 1, "Illegal suboption \"idle_time=1\"", "-o", "idle_time=1");
    EXPECT_ERROR(fixture, 1, "missing", "-p");
    EXPECT_ERROR(fixture, 1, "missing", "--port");
    EXPECT_ERROR(fixture, 1, "missing", "-o", "idle_timeout");
    EXPECT_ERROR(fixture, 64, "none of auto|ascii", "-B", "foo");
    EXPECT_ERROR(fixture, 64, "binary protocol", "-B", "binary");
    EXPECT_ERROR(fixture, 64, "neither users", "-U", "11211", "-Y", "x");
    EXPECT_ERROR(fixture, 64, "neither users", "-U", "-1", "-Z", "-ossl_chain_cert=x");
    EXPECT_ERROR(fixture, 64, "empty", "-s", "");
}

static void test_warnings(void **state)
{
    struct fixture *fixture = *state;

    /* One an option, however often it is given. */
    assert_int_equal(PARSE(fixture, "-f", "1.5", "-f", "2", "-oslab_automove,slab_automove=0"),
                     CONFIG_OK);
    assert_int_equal(fixture->report.warnings_count, 2);
    assert_int_equal(fixture->config.inert.growth_factor, 2000000);
    assert_int_equal(fixture->config.inert.slab_automove, 0);
    assert_int_equal(PARSE(fixture, "-t", "65"), CONFIG_OK);
    assert_int_equal(fixture->report.warnings_count, 1);
    assert_int_equal(PARSE(fixture, "-o", "maxconns_fast=0"), CONFIG_OK);
    assert_non_null(strstr(fixture->report.warnings[0], "takes no value"));
    assert_int_equal(PARSE(fixture, "stray", "-p", "5", "--", "-p", "6"), CONFIG_OK);
    assert_int_equal(fixture->config.port, 5);
    assert_int_equal(fixture->report.warnings_count, 3);
    assert_non_null(strstr(fixture->report.warnings[0], "\"stray\""));
}

static void test_root(void **state)
{
    struct fixture *fixture = *state;

    fixture->as_root = true;
    EXPECT_ERROR(fixture, 64, "must add '-u root' to start as root", "-v");
    EXPECT_ERROR(fixture, 64, "must add '-u root' to start as root", "-p0");
    assert_int_equal(PARSE(fixture, "-u", "root"), CONFIG_OK);
    assert_string_equal(fixture->config.user, "root");
    assert_int_equal(PARSE(fixture, "-V"), CONFIG_ASKS_VERSION);
}

/* ---- -l ---- */

static void expect_address(const struct fixture *fixture, unsigned number, const char *host,
                           int port)
{
    assert_in_range(number, 0, fixture->config.addresses_count - 1);
    assert_string_equal(fixture->config.addresses[number].host, host);
    assert_int_equal(fixture->config.addresses[number].port, port);
}

static void test_listen(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(PARSE(fixture, "-l", "127.0.0.1;[::1]:33,host.name:44", "-l", "::1", "-l*:5",
                           "--listen=notls:tag[a:b]:proto[ascii]:10.0.0.1:6,[::2],*,a:-1"),
                     CONFIG_OK);
    assert_int_equal(fixture->config.addresses_count, 9);
    expect_address(fixture, 0, "127.0.0.1", CONFIG_PORT_UNSET);
    expect_address(fixture, 1, "::1", 33);
    expect_address(fixture, 2, "host.name", 44);
    expect_address(fixture, 3, "::1", CONFIG_PORT_UNSET);
    expect_address(fixture, 4, "", 5);
    expect_address(fixture, 5, "10.0.0.1", 6);
    expect_address(fixture, 6, "::2", CONFIG_PORT_UNSET);
    expect_address(fixture, 7, "", CONFIG_PORT_UNSET);
    expect_address(fixture, 8, "a", CONFIG_PORT_ANY);
    assert_non_null(strstr(fixture->config.listen, "44,::1,*:5,notls:"));
}

static void test_listen_wrong(void **state)
{
    struct fixture *fixture = *state;
    char text[CONFIG_LISTEN_BYTES_MAX + 2];

    EXPECT_ERROR(fixture, 64, "is not an address", "-l", "[::1");
    EXPECT_ERROR(fixture, 64, "is not an address", "-l", "[::1]x");
    EXPECT_ERROR(fixture, 64, "is not an address", "-l", "[]:1");
    EXPECT_ERROR(fixture, 64, "is not an address", "-l", ":1");
    EXPECT_ERROR(fixture, 64, "is not a port", "-l", "a:0");
    EXPECT_ERROR(fixture, 64, "is not a port", "-l", "a:65536");
    EXPECT_ERROR(fixture, 64, "is not a port", "-l", "a:");
    EXPECT_ERROR(fixture, 64, "names no address", "-l", ",;");
    EXPECT_ERROR(fixture, 64, "TLS", "-l", "btls:a");
    EXPECT_ERROR(fixture, 64, "TLS", "-l", "notls:mtls:a");
    EXPECT_ERROR(fixture, 64, "protocol", "-l", "proto[binary]:a");
    EXPECT_ERROR(fixture, 64, "tag", "-l", "tag[a:b");
    EXPECT_ERROR(fixture, 64, "empty", "-l", "");
    memset(text, 'a', sizeof(text));
    text[CONFIG_HOST_BYTES_MAX + 1] = '\0';
    EXPECT_ERROR(fixture, 64, "is not an address", "-l", text);
    text[CONFIG_HOST_BYTES_MAX + 1] = 'a';
    text[sizeof(text) - 1] = '\0';
    EXPECT_ERROR(fixture, 64, "longer than", "-l", text);
    for (size_t i = 1; i < sizeof(text); i += 2)
        text[i] = ',';
    text[2 * CONFIG_ADDRESSES_MAX] = '\0';
    assert_int_equal(PARSE(fixture, "-l", text), CONFIG_OK);
    assert_int_equal(fixture->config.addresses_count, CONFIG_ADDRESSES_MAX);
    EXPECT_ERROR(fixture, 64, "more than 64", "-l", text, "-l", "a");
}

static void test_http(void **state)
{
    struct fixture *fixture = *state;
    const struct config_address *http = &fixture->config.http;
    char text[400];

    assert_int_equal(PARSE(fixture, "-t", "4"), CONFIG_OK);
    assert_int_equal(http->port, 0);
    static const struct {
        const char *argument, *host;
        int port;
    } GOOD[] = {
        {"9150", "127.0.0.1", 9150},
        {":9150", "127.0.0.1", 9150},
        {"0.0.0.0:1", "0.0.0.0", 1},
        {"[::1]:65535", "::1", 65535},
        {"*:80", "", 80},
        {"host:-1", "host", -1},
        {"-1", "127.0.0.1", -1},
        {"0", "127.0.0.1", 0},
    };
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        assert_int_equal(PARSE(fixture, "--http", GOOD[i].argument), CONFIG_OK);
        assert_string_equal(http->host, GOOD[i].host);
        assert_int_equal(http->port, GOOD[i].port);
    }
    EXPECT_ERROR(fixture, 64, "is not an address and a port", "--http", "127.0.0.1");
    EXPECT_ERROR(fixture, 64, "is not an address and a port", "--http", "a:b");
    EXPECT_ERROR(fixture, 64, "is not an address and a port", "--http", "::1");
    EXPECT_ERROR(fixture, 64, "is not an address and a port", "--http", "[::1:80");
    EXPECT_ERROR(fixture, 64, "from -1 to 65535", "--http", "a:65536");
    EXPECT_ERROR(fixture, 64, "from -1 to 65535", "--http", "-2");
    EXPECT_ERROR(fixture, 64, "empty", "--http=");
    memset(text, 'a', sizeof(text));
    memcpy(text + sizeof(text) - 3, ":1", 3);
    EXPECT_ERROR(fixture, 64, "too long", "--http", text);
}

/* ---- what is shown ---- */

struct shown {
    unsigned count;
    char names[SETTINGS_COUNT][32];
    char values[SETTINGS_COUNT][64];
};

static void keep_setting(void *context, const char *name, const char *value)
{
    struct shown *shown = context;

    assert_in_range(shown->count, 0, SETTINGS_COUNT - 1);
    snprintf(shown->names[shown->count], sizeof(shown->names[0]), "%s", name);
    snprintf(shown->values[shown->count], sizeof(shown->values[0]), "%s", value);
    shown->count++;
}

/* The lines of memcached 1.6.45 started with "-p 23111 -l 127.0.0.1", but for the two marked. */
/* clang-format off */
static const char *const SETTINGS[SETTINGS_COUNT][2] = {
    {"maxbytes", "67108864"}, {"maxconns", "1024"}, {"tcpport", "23111"}, {"udpport", "0"},
    {"inter", "127.0.0.1"}, {"verbosity", "0"}, {"oldest", "0"}, {"evictions", "on"},
    {"domain_socket", "NULL"}, {"umask", "700"}, {"shutdown_command", "no"},
    {"growth_factor", "1.25"}, {"chunk_size", "48"}, {"num_threads", "4"},
    {"num_threads_per_udp", "4"}, {"stat_key_prefix", ":"}, {"detail_enabled", "no"},
    {"reqs_per_event", "20"}, {"cas_enabled", "yes"}, {"tcp_backlog", "1024"},
    {"binding_protocol", "auto-negotiate"}, {"auth_enabled_sasl", "no"},
    {"auth_enabled_ascii", "no"}, {"item_size_max", "1048576"}, {"maxconns_fast", "yes"},
    {"hashpower_init", "0"}, {"slab_reassign", "yes"}, {"slab_automove", "1"},
    {"slab_automove_ratio", "0.80"}, {"slab_automove_window", "10"}, {"slab_chunk_max", "524288"},
    {"lru_crawler", "yes"}, {"lru_crawler_sleep", "100"}, {"lru_crawler_tocrawl", "0"},
    {"tail_repair_time", "0"}, {"flush_enabled", "yes"}, {"dump_enabled", "yes"},
    {"hash_algorithm", "xxh3"}, /* memcached's default is murmur3 */
    {"lru_maintainer_thread", "yes"}, {"lru_segmented", "yes"}, {"hot_lru_pct", "20"},
    {"warm_lru_pct", "40"}, {"hot_max_factor", "0.20"}, {"warm_max_factor", "2.00"},
    {"temp_lru", "no"}, {"temporary_ttl", "61"}, {"idle_timeout", "0"},
    {"watcher_logbuf_size", "262144"}, {"worker_logbuf_size", "65536"},
    {"read_buf_mem_limit", "0"}, {"track_sizes", "no"}, /* 1.6.45 says yes, 1.6.18 no */
    {"inline_ascii_response", "no"}, {"ext_item_size", "512"}, {"ext_item_age", "4294967295"},
    {"ext_low_ttl", "0"}, {"ext_recache_rate", "2000"}, {"ext_wbuf_size", "4194304"},
    {"ext_compact_under", "0"}, {"ext_drop_under", "0"}, {"ext_max_sleep", "1000000"},
    {"ext_max_frag", "0.80"}, {"slab_automove_freeratio", "0.010"}, {"ext_drop_unread", "no"},
    {"ssl_enabled", "no"}, {"ssl_chain_cert", "(null)"}, {"ssl_key", "(null)"},
    {"ssl_verify_mode", "0"}, {"ssl_keyformat", "1"}, {"ssl_ciphers", "NULL"},
    {"ssl_ca_cert", "NULL"}, {"ssl_wbuf_size", "16384"}, {"ssl_session_cache", "no"},
    {"ssl_kernel_tls", "no"}, {"ssl_min_version", "tlsv1.2"},
    {"num_napi_ids", "0"}, {"memory_file", "(null)"}, {"client_flags_size", "4"},
};
/* clang-format on */

static void test_settings_order(void **state)
{
    struct fixture *fixture = *state;
    struct shown *shown = calloc(1, sizeof(*shown));

    assert_non_null(shown);
    assert_int_equal(PARSE(fixture, "-p", "23111", "-l", "127.0.0.1"), CONFIG_OK);
    config_settings(&fixture->config, keep_setting, shown);
    assert_int_equal(shown->count, SETTINGS_COUNT);
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        assert_string_equal(shown->names[i], SETTINGS[i][0]);
        assert_string_equal(shown->values[i], SETTINGS[i][1]);
    }
    free(shown);
}

static void expect_setting(const struct shown *shown, const char *name, const char *value)
{
    for (unsigned i = 0; i < shown->count; i++) {
        if (strcmp(shown->names[i], name) == 0) {
            assert_string_equal(shown->values[i], value);
            return;
        }
    }
    fail_msg("no setting %s", name);
}

static void test_settings_follow(void **state)
{
    struct fixture *fixture = *state;
    struct shown *shown = calloc(1, sizeof(*shown));

    assert_non_null(shown);
    assert_int_equal(PARSE(fixture, "-p-1", "-M", "-s", "/tmp/a.sock", "-a", "660", "-C", "-F",
                           "-X", "-A", "-D.", "-Bascii", "-t7", "-f1.5", "-o",
                           "no_modern,temporary_ttl=61,no_lru_maintainer,ext_max_frag=0.255"),
                     CONFIG_OK);
    config_settings(&fixture->config, keep_setting, shown);
    expect_setting(shown, "tcpport", "-1");
    expect_setting(shown, "inter", "NULL");
    expect_setting(shown, "evictions", "off");
    expect_setting(shown, "domain_socket", "/tmp/a.sock");
    expect_setting(shown, "umask", "660");
    expect_setting(shown, "cas_enabled", "no");
    expect_setting(shown, "flush_enabled", "no");
    expect_setting(shown, "dump_enabled", "no");
    expect_setting(shown, "shutdown_command", "yes");
    expect_setting(shown, "stat_key_prefix", ".");
    expect_setting(shown, "detail_enabled", "yes");
    expect_setting(shown, "binding_protocol", "ascii");
    expect_setting(shown, "num_threads_per_udp", "7");
    expect_setting(shown, "growth_factor", "1.50");
    expect_setting(shown, "maxconns_fast", "no");
    expect_setting(shown, "temp_lru", "yes");
    expect_setting(shown, "lru_segmented", "no");
    expect_setting(shown, "ext_max_frag", "0.26");
    free(shown);
}

/* What asks for what is so anyway, relaxed_privileges of memcached's own tests among it: taken
 * without a word, all of it together, and nothing differs from a start without. */
static void test_no_difference(void **state)
{
    struct fixture *fixture = *state;
    struct shown *shown = calloc(2, sizeof(*shown));
    char all[TEXT_BYTES] = "-omodern";
    unsigned count = 0;

    assert_non_null(shown);
    for (size_t i = 0; i < OPTION_ROWS_COUNT; i++) {
        const struct option_row *row = &OPTION_ROWS[i];

        if (row->kind == OPTION_TAKEN && row->type == OPTION_FLAG && row->field.bytes == 0) {
            const size_t used = strlen(all);

            snprintf(all + used, sizeof(all) - used, ",%s", row->name);
            count++;
        }
    }
    assert_int_equal(count, 4);
    assert_non_null(strstr(all, ",relaxed_privileges,"));
    assert_int_equal(PARSE(fixture, "-t", "5"), CONFIG_OK);
    config_settings(&fixture->config, keep_setting, &shown[0]);
    assert_int_equal(PARSE(fixture, all, "-t", "5"), CONFIG_OK);
    assert_int_equal(fixture->report.warnings_count, 0);
    config_settings(&fixture->config, keep_setting, &shown[1]);
    assert_memory_equal(&shown[0], &shown[1], sizeof(shown[0]));
    free(shown);
}

static void test_help(void **state)
{
    char *text = NULL;
    size_t text_bytes = 0;
    FILE *out = open_memstream(&text, &text_bytes);
    char name[OPTION_NAME_BYTES];

    (void)state;
    assert_non_null(out);
    config_print_help(out);
    assert_int_equal(fclose(out), 0);
    for (size_t i = 0; i < OPTION_ROWS_COUNT; i++) {
        if (OPTION_ROWS[i].kind != OPTION_NONE)
            assert_non_null(strstr(text, option_name(&OPTION_ROWS[i], name)));
    }
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        assert_in_range(strlen(line), 1, 100);
    free(text);
}

/* ---- at random ---- */

static uint64_t random_next(uint64_t *seed)
{
    *seed += 0x9e3779b97f4a7c15;
    uint64_t mixed = (*seed ^ (*seed >> 30)) * 0xbf58476d1ce4e5b9;

    return mixed ^ (mixed >> 31);
}

static void random_text(uint64_t *seed, char text[TEXT_BYTES])
{
    static const char BYTES[] = "-=,;:[]*.0123456789mkopltvBIDx_\x80\n ";
    size_t bytes = random_next(seed) % 24;

    for (size_t i = 0; i < bytes; i++)
        text[i] = BYTES[random_next(seed) % (sizeof(BYTES) - 1)];
    text[bytes] = '\0';
}

/* Nothing may break, and what is accepted keeps to the limits. */
static void test_random_lines(void **state)
{
    struct fixture *fixture = *state;
    const struct config *config = &fixture->config;
    uint64_t seed = 20261122;
    char texts[4][TEXT_BYTES + 2];
    unsigned accepted = 0;

    for (unsigned line = 0; line < RANDOM_LINES; line++) {
        for (unsigned i = 0; i < 4; i++) {
            const struct option_row *row = &OPTION_ROWS[random_next(&seed) % OPTION_ROWS_COUNT];

            random_text(&seed, texts[i] + 2);
            texts[i][0] = '-';
            texts[i][1] = row->letter != 0 ? row->letter : 'o';
            if (random_next(&seed) % 4 == 0)
                memmove(texts[i], texts[i] + 2, TEXT_BYTES);
            else if (row->extended && random_next(&seed) % 2 == 0)
                snprintf(texts[i], TEXT_BYTES, "-o%s=%u", row->name,
                         (unsigned)(random_next(&seed) % 100));
        }
        if (PARSE(fixture, texts[0], texts[1], texts[2], texts[3]) == CONFIG_ERROR) {
            assert_true(fixture->report.exit_code == 64 || fixture->report.exit_code == 1);
            assert_int_not_equal(fixture->report.error[0], '\0');
            continue;
        }
        accepted++;
        assert_in_range(config->threads, 1, CONFIG_THREADS_MAX);
        assert_in_range(config->item_bytes_max, CONFIG_ITEM_BYTES_MIN, CONFIG_ITEM_BYTES_MAX);
        assert_in_range(config->memory_bytes, 1 << 20, CONFIG_MEMORY_BYTES_MAX);
        assert_in_range(config->addresses_count, 0, CONFIG_ADDRESSES_MAX);
        assert_in_range(config->port + 1, 0, 65536);
    }
    assert_in_range(accepted, RANDOM_LINES / 100, RANDOM_LINES);
}

/* The line of the table in README.md that lists options of this kind, into @line. */
static void find_kind(const char *path, const char *kind, char *line, size_t line_bytes)
{
    FILE *file = fopen(path, "r");
    size_t kind_bytes = strlen(kind);

    assert_non_null(file);
    do
        assert_non_null(fgets(line, (int)line_bytes, file));
    while (strncmp(line, kind, kind_bytes) != 0);
    assert_int_equal(fclose(file), 0);
}

static void test_readme(void **state)
{
    static const char *const KINDS[] = {[OPTION_TAKEN] = "| taken |",
                                        [OPTION_INERT] = "| inert |",
                                        [OPTION_REFUSED] = "| refused |"};
    const char *path = *state;
    char line[4096], name[TEXT_BYTES];

    for (size_t i = 0; i < OPTION_ROWS_COUNT; i++) {
        const struct option_row *row = &OPTION_ROWS[i];

        if (row->kind == OPTION_NONE)
            continue;
        if (row->extended)
            snprintf(name, sizeof(name), "`%s`", row->name);
        else if (row->letter != 0)
            snprintf(name, sizeof(name), "`-%c`", row->letter);
        else
            snprintf(name, sizeof(name), "`--%s`", row->name);
        find_kind(path, KINDS[row->kind], line, sizeof(line));
        if (strstr(line, name) == NULL)
            fail_msg("%s: the row \"%s\" lacks %s", path, KINDS[row->kind], name);
    }
}

/* ---- UDP ---- */

/* -U alone moves the TCP port along, as in memcached. */
static void test_udp(void **state)
{
    struct fixture *fixture = *state;
    const struct config *config = &fixture->config;

    assert_int_equal(PARSE(fixture, "-U", "7"), CONFIG_OK);
    assert_int_equal(config->udp_port, 7);
    assert_int_equal(config->port, 7);
    assert_int_equal(PARSE(fixture, "-U", "7", "-p", "0"), CONFIG_OK);
    assert_int_equal(config->port, 0);
    assert_int_equal(PARSE(fixture, "-U", "0"), CONFIG_OK);
    assert_int_equal(config->port, 11211);
}

/* ---- TLS ---- */

static void test_tls(void **state)
{
    struct fixture *fixture = *state;
    const struct config *config = &fixture->config;

    assert_int_equal(PARSE(fixture, "-l", "notls:a:1,btls:b,mtls:c,d,tag[x]:notls:e", "-Z", "-o",
                           "ssl_chain_cert=/a,ssl_key=/b,ssl_ca_cert=/c,ssl_ciphers=d:e",
                           "-ossl_verify_mode=3,ssl_min_version=3,ssl_keyformat=2,ssl_kernel_tls,"
                           "ssl_session_cache"),
                     CONFIG_OK);
    static const enum config_tls EXPECTED[] = {CONFIG_TLS_NONE, CONFIG_TLS_BASIC, CONFIG_TLS_MUTUAL,
                                               CONFIG_TLS_DEFAULT, CONFIG_TLS_NONE};
    for (size_t i = 0; i < sizeof(EXPECTED) / sizeof(EXPECTED[0]); i++)
        assert_int_equal(config->addresses[i].tls, EXPECTED[i]);
    assert_string_equal(config->tls_chain_cert, "/a");
    assert_string_equal(config->tls_key, "/b");
    assert_string_equal(config->tls_ca_cert, "/c");
    assert_string_equal(config->tls_ciphers, "d:e");
    assert_int_equal(config->tls_verify_mode, 3);
    assert_int_equal(config->tls_min_version, CONFIG_TLS_1_3);
    assert_int_equal(config->tls_keyformat, 2);
    assert_true(config->tls_enabled && config->tls_kernel && config->tls_session_cache);

    assert_int_equal(PARSE(fixture, "-l", "notls:a,b"), CONFIG_OK);
    assert_int_equal(config->addresses[0].tls, CONFIG_TLS_NONE);
    assert_int_equal(config->addresses[1].tls, CONFIG_TLS_NONE);
    EXPECT_ERROR(fixture, 64, "ssl_chain_cert", "-Z");
    EXPECT_ERROR(fixture, 64, "ssl_ca_cert", "-Z", "-ossl_chain_cert=a,ssl_verify_mode=1");
    EXPECT_ERROR(fixture, 64, "ssl_ca_cert", "-Z", "-ossl_chain_cert=a", "-l", "mtls:a");
    EXPECT_ERROR(fixture, 64, "not safe", "-ossl_min_version=1");
}

/* ---- --config ---- */

/* Parses "-v --config <a file with this text> -p 7". */
static enum config_status parse_file(struct fixture *fixture, const char *text, size_t count)
{
    char path[] = P_tmpdir "/config_test.XXXXXX";
    const int fd = mkstemp(path);
    enum config_status status;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, count), count);
    assert_int_equal(close(fd), 0);
    status = PARSE(fixture, "-v", "--config", path, "-p", "7");
    assert_int_equal(unlink(path), 0);
    return status;
}

/* Debian's file in every detail, other ways to write a line, and the command line's own rest. */
static void test_file(void **state)
{
    static const char TEXT[] =
        "# memcached default config file\n\n-d\nlogfile /var/log/memcached.log\n# -vv\n-m 100\n"
        "-p 11311\n-u memcache\n  -l 127.0.0.1  \r\n\t-l [::1]:99\n -P /run/a file\n"
        "-v\n--threads=3\n--conn-limit 77\n-R9\n-o idle_timeout=5,no_compress\n#\n-s /tmp/s";
    struct fixture *fixture = *state;
    const struct config *config = &fixture->config;

    assert_int_equal(parse_file(fixture, TEXT, strlen(TEXT)), CONFIG_OK);
    assert_int_equal(fixture->report.warnings_count, 1);
    assert_non_null(strstr(fixture->report.warnings[0], "logfile"));
    assert_true(config->daemonize && !config->compress);
    assert_int_equal(config->memory_bytes, 100 << 20);
    assert_int_equal(config->port, 7);
    assert_string_equal(config->user, "memcache");
    assert_string_equal(config->pid_path, "/run/a file");
    assert_string_equal(config->unix_path, "/tmp/s");
    assert_string_equal(config->listen, "127.0.0.1,[::1]:99");
    assert_int_equal(config->verbosity, 2);
    assert_int_equal(config->threads, 3);
    assert_int_equal(config->conns_max, 77);
    assert_int_equal(config->reqs_per_event, 9);
    assert_int_equal(config->idle_timeout_s, 5);
}

static void test_files_that_are_refused(void **state)
{
    static const struct {
        const char *text;
        int exit_code;
        const char *error;
    } CASES[] = {
        {"-m 64\n\n# c\n-x\n", 1, " line 4: Illegal argument \"-x\""},
        {"-m 64 65\n", 64, " line 1: -m, --memory-limit: \"64 65\" is not"},
        {"\n-m\n", 1, " line 2: -m, --memory-limit: its argument is missing"},
        {"-v 1\n", 64, " line 1: -v takes no value"},
        {"-vv -m 3\n", 64, " line 1: -vv takes no value"},
        {"word\n", 64, " line 1: \"word\" is no option"},
        {"-\n", 64, " line 1: \"-\" is no option"},
        {"--\n-m 64\n", 64, " line 1: \"--\" is no option"},
        {"-h\n", 64, " line 1: -h belongs on the command line"},
        {"--version\n", 64, " line 1: --version belongs"},
        {"--config /dev/null\n", 64, " line 1: --config: not within a file"},
        {"-S\n", 64, " line 1: -S, --enable-sasl: "},
        {"-o nonsense\n", 1, " line 1: Illegal suboption"},
    };
    struct fixture *fixture = *state;
    char long_text[CONFIG_FILE_BYTES_MAX + 1];

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++)
        expect_error(fixture, parse_file(fixture, CASES[i].text, strlen(CASES[i].text)),
                     CASES[i].exit_code, CASES[i].error);
    expect_error(fixture, parse_file(fixture, "-m 64\0\n", 7), 64, "NUL");
    memset(long_text, '#', sizeof(long_text));
    assert_int_equal(parse_file(fixture, long_text, sizeof(long_text) - 1), CONFIG_OK);
    expect_error(fixture, parse_file(fixture, long_text, sizeof(long_text)), 64, "longer than");
    EXPECT_ERROR(fixture, 64, "No such file", "--config=/nonexistent/file");
    EXPECT_ERROR(fixture, 64, "Is a directory", "--config", P_tmpdir);
    EXPECT_ERROR(fixture, 1, "its argument is missing", "--config");
}

/* Texts from a file are copied, into room that has an end. */
static void test_texts_of_a_file(void **state)
{
    struct fixture *fixture = *state;
    char text[CONFIG_TEXT_BYTES_MAX + 64];
    const size_t room = CONFIG_TEXT_BYTES_MAX - 1;

    memset(text, 'x', sizeof(text));
    memcpy(text, "-u ", 3);
    assert_int_equal(parse_file(fixture, text, room + 3), CONFIG_OK);
    assert_int_equal(strlen(fixture->config.user), room);
    expect_error(fixture, parse_file(fixture, text, room + 4), 64, "no room for more than");
}

/* A daemon goes to the root, so its paths are told from there. */
static void test_paths_of_a_daemon(void **state)
{
    struct fixture *fixture = *state;
    const struct config *config = &fixture->config;
    char folder[1024], expected[1100];

    assert_non_null(getcwd(folder, sizeof(folder)));
    (void)snprintf(expected, sizeof(expected), "%s/shm/file", folder);
    assert_int_equal(PARSE(fixture, "-e", "shm/file", "-P", "pid"), CONFIG_OK);
    assert_string_equal(config->memory_path, "shm/file");
    assert_int_equal(PARSE(fixture, "-e", "shm/file", "-P", "/run/pid", "-d", "-u", "who"),
                     CONFIG_OK);
    assert_string_equal(config->memory_path, expected);
    assert_string_equal(config->pid_path, "/run/pid");
    assert_string_equal(config->user, "who");
    assert_null(config->unix_path);
    (void)snprintf(expected, sizeof(expected), "%s/s", folder);
    assert_int_equal(parse_file(fixture, "-d\n-s s\n", 8), CONFIG_OK);
    assert_string_equal(config->unix_path, expected);
    char text[CONFIG_TEXT_BYTES_MAX] = "";
    memset(text, 'x', sizeof(text) - 1);
    EXPECT_ERROR(fixture, 64, "cannot be told from the root", "-d", "-e", text);
}

int main(int arguments_count, char **arguments)
{
    char *readme = arguments_count == 2 ? arguments[1] : NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_readme, readme),
        cmocka_unit_test_setup_teardown(test_udp, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files_that_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_texts_of_a_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_paths_of_a_daemon, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_row, set_up, tear_down),
        cmocka_unit_test(test_names_are_unique),
        cmocka_unit_test_setup_teardown(test_nothing_is_lacking, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_range, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_defaults, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sizes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_writing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_warnings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_root, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_listen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_listen_wrong, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_http, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_settings_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_settings_follow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_difference, set_up, tear_down),
        cmocka_unit_test(test_help),
        cmocka_unit_test_setup_teardown(test_random_lines, set_up, tear_down),
    };

    if (readme == NULL) {
        fprintf(stderr, "usage: %s <README.md of server/admin>\n", arguments[0]);
        return 2;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
