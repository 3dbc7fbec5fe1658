/*
 * parse_bench.c - nanoseconds per request for parsing and per header for writing.
 *
 *   bazel run -c opt //tests/bench:parse_bench
 *
 * Each line is the fastest of 9 rounds over requests that lie one behind another in 64 KiB, as they
 * do in a connection's buffer.
 */
#include "protocol/parse.h"
#include "protocol/reply.h"
#include "tests/bench/bench.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUFFER_BYTES = 64 << 10,
    ROUNDS = 9,
    PASSES = 40,
    VALUE_BYTES_MAX = 1 << 20
};

/* As many whole requests as fit; returns their bytes. */
static size_t fill(uint8_t *buffer, const char *request, size_t bytes)
{
    size_t used = 0;
    while (used + bytes <= BUFFER_BYTES) {
        memcpy(buffer + used, request, bytes);
        used += bytes;
    }
    return used;
}

/* Parses all of the buffer and walks the keys; returns how many requests there were. */
static size_t parse_all(uint8_t *buffer, size_t count)
{
    size_t used = 0;
    size_t requests = 0;

    while (used < count) {
        struct protocol_parsed parsed;
        if (protocol_parse(buffer + used, count - used, VALUE_BYTES_MAX, &parsed) !=
            PROTOCOL_REQUEST) {
            abort();
        }
        struct protocol_slice key;
        while (protocol_next_key(&parsed.request.keys, &key)) {
        }
        used += parsed.used;
        requests++;
    }
    return requests;
}

static void bench_parse(const char *name, const char *request)
{
    static uint8_t buffer[BUFFER_BYTES];
    const size_t count = fill(buffer, request, strlen(request));
    double best_ns = 1e18;

    for (unsigned round = 0; round < ROUNDS; round++) {
        const double start_ns = bench_now_ns();
        size_t requests = 0;
        for (unsigned pass = 0; pass < PASSES; pass++) {
            requests += parse_all(buffer, count);
        }
        const double ns = (bench_now_ns() - start_ns) / (double)requests;
        best_ns = ns < best_ns ? ns : best_ns;
    }
    (void)printf("%-28s %8.1f ns a request of %zu bytes\n", name, best_ns, strlen(request));
}

static void bench_header(void)
{
    static uint8_t out[PROTOCOL_VALUE_HEADER_BYTES_MAX];
    enum {
        HEADERS = 200000
    };
    double best_ns = 1e18;
    uint64_t cas = 1234567;
    size_t bytes = 0;

    for (unsigned round = 0; round < ROUNDS; round++) {
        const double start_ns = bench_now_ns();
        for (unsigned i = 0; i < HEADERS; i++) {
            cas++;
            bytes += protocol_value_header(out, "user:1234567", 12, i & 1, 100 + i % 4000, &cas);
        }
        const double ns = (bench_now_ns() - start_ns) / HEADERS;
        best_ns = ns < best_ns ? ns : best_ns;
    }
    (void)printf("%-28s %8.1f ns, %.1f bytes\n", "value header with cas", best_ns,
                 (double)bytes / (double)ROUNDS / HEADERS);
}

/* "get" and @keys keys of 12 bytes. */
static char *multiget(unsigned keys)
{
    char *line = malloc(3 + (size_t)keys * 13 + 3);
    if (line == NULL) {
        abort();
    }
    size_t used = (size_t)sprintf(line, "get");
    for (unsigned i = 0; i < keys; i++) {
        used += (size_t)sprintf(line + used, " user:%07u", i);
    }
    (void)sprintf(line + used, "\r\n");
    return line;
}

/* A set of @bytes bytes. */
static char *set_of(size_t bytes)
{
    char *request = malloc(64 + bytes);
    if (request == NULL) {
        abort();
    }
    const size_t used = (size_t)sprintf(request, "set user:1234567 0 300 %zu\r\n", bytes);
    memset(request + used, 'v', bytes);
    (void)sprintf(request + used + bytes, "\r\n");
    return request;
}

int main(void)
{
    char *const hundred = multiget(100);
    char *const small = set_of(100);
    char *const large = set_of(4000);

    bench_parse("get", "get user:1234567\r\n");
    bench_parse("get of 100 keys", hundred);
    bench_parse("set of 100 bytes", small);
    bench_parse("set of 4000 bytes", large);
    bench_parse("set noreply", "set user:1234567 0 300 5 noreply\r\nhello\r\n");
    bench_parse("incr", "incr user:1234567 1\r\n");
    bench_parse("delete", "delete user:1234567\r\n");
    bench_parse("touch", "touch user:1234567 300\r\n");
    bench_header();
    free(hundred);
    free(small);
    free(large);
    return 0;
}
