/* top: a server's rates, memory, hottest keys and savings, live. */
#include "clients/ctl_commands.h"
#include "clients/ctl_connect.h"
#include "clients/ctl_figures.h"
#include "clients/ctl_progress.h"
#include "clients/ctl_screen.h"
#include "clients/ctl_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PINGS_MAX     60u
#define TIMEOUT_S_MAX 2.0 /* a server that hangs is not waited for longer: keys are read between */
#define NAME_BYTES    (3 * CLIENT_KEY_BYTES_MAX + 1)

/* What came of asking for a section that not every server has, or tells. */
enum told {
    TOLD,
    NOT_KNOWN,
    NOT_ALLOWED
};

struct top {
    struct ctl *ctl;
    struct ctl_options options; /* with a timeout of its own */
    struct ctl_figures general, slabs, zbud, hotkeys, prefixes;
    struct ctl_figures before; /* the general ones of the frame before; empty: there was none */
    enum told told_hotkeys, told_prefixes;
    double at_s, before_s;
    double pings_s[PINGS_MAX];
    unsigned pings;
    double away_since_s;         /* 0: it is there */
    enum client_status away_why; /* then */
};

/* ---- asking ---- */

static enum client_status read_section(struct top *top, const char *section,
                                       struct ctl_figures *figures, enum told *told)
{
    enum client_status status = ctl_figures_read(top->ctl->client, section, figures);

    *told = TOLD;
    if (status == CLIENT_REFUSED) {
        figures->count = 0;
        *told =
            strstr(client_text(top->ctl->client), "not allowed") != NULL ? NOT_ALLOWED : NOT_KNOWN;
        return CLIENT_END;
    }
    return status;
}

static enum client_status ping(struct top *top)
{
    const double sent_s = ctl_now_s();
    struct client_slice version;
    enum client_status status = client_version(top->ctl->client, &version);

    if (status == CLIENT_OK)
        top->pings_s[top->pings++ % PINGS_MAX] = ctl_now_s() - sent_s;
    return status;
}

static enum client_status read_all(struct top *top)
{
    enum client_status status = ping(top);
    enum told told;

    if (status == CLIENT_OK)
        status = ctl_figures_read(top->ctl->client, "", &top->general);
    top->at_s = ctl_now_s();
    if (status == CLIENT_END)
        status = read_section(top, "zbud", &top->zbud, &told);
    if (status == CLIENT_END)
        status = read_section(top, "slabs", &top->slabs, &told);
    if (status == CLIENT_END)
        status = read_section(top, "hotkeys", &top->hotkeys, &top->told_hotkeys);
    if (status == CLIENT_END)
        status = read_section(top, "prefixes", &top->prefixes, &top->told_prefixes);
    return status;
}

/* The next frame's figures; what was shown becomes what rates are counted from. False: away. */
static bool ask(struct top *top)
{
    const struct ctl_figures spare = top->before;
    enum client_status status = CLIENT_OK;

    top->before = top->general;
    top->before_s = top->at_s;
    top->general = spare;
    top->general.count = 0;
    if (!client_connected(top->ctl->client)) {
        top->before.count = 0;
        status = ctl_reconnect(&top->options, top->ctl->client, top->options.server,
                               top->options.auth_file, "ZBCTL_AUTH");
    }
    if (status == CLIENT_OK)
        status = read_all(top);
    if (status == CLIENT_END) {
        top->away_since_s = 0;
        return true;
    }
    client_close(top->ctl->client);
    top->away_why = status;
    if (top->away_since_s == 0)
        top->away_since_s = ctl_now_s();
    return false;
}

/* ---- figures ---- */

static double general(const struct top *top, const char *name)
{
    return ctl_figures_number(&top->general, name);
}

/* What rates are over: since the frame before, or the server's whole life. */
static double span_s(const struct top *top)
{
    const double span = top->before.count > 0 ? top->at_s - top->before_s : general(top, "uptime");

    return span > 0 ? span : 1;
}

/* How much of it came since the frame before; after a reset it counts anew. */
static double gained(const struct top *top, const char *name)
{
    const double now = general(top, name), before = ctl_figures_number(&top->before, name);

    return now >= before ? now - before : now;
}

static double rate(const struct top *top, const char *name)
{
    return gained(top, name) / span_s(top);
}

static double rates(const struct top *top, const char *const *names)
{
    double sum = 0;

    for (; *names != NULL; names++)
        sum += rate(top, *names);
    return sum;
}

static const char *count_of(double number, char text[32])
{
    return ctl_put_count(number > 0 ? (uint64_t)(number + .5) : 0, text);
}

/* ---- the frame ---- */

static void put_head(const struct top *top, struct ctl_screen *screen)
{
    const char *own = ctl_figures_find(&top->zbud, "server");
    const char *version = ctl_figures_find(&top->general, "version");
    const double up_s = general(top, "uptime");
    char text[32];

    if (top->away_since_s > 0) {
        ctl_screen_title(screen, "%s  away for %.0f s: %s; trying again", top->options.server,
                         ctl_now_s() - top->away_since_s, client_status_text(top->away_why));
        return;
    }
    ctl_screen_title(screen, "%s  %s  up %.*f %s  connections %s, threads %.0f",
                     top->options.server,
                     own != NULL       ? own
                     : version != NULL ? version
                                       : "",
                     up_s < 3600 ? 0 : 1, up_s < 3600 ? up_s : up_s / 3600, up_s < 3600 ? "s" : "h",
                     count_of(general(top, "curr_connections"), text), general(top, "threads"));
}

static void put_rates(const struct top *top, struct ctl_screen *screen)
{
    static const char *const deletes[] = {"delete_hits", "delete_misses", NULL};
    static const char *const others[] = {"cmd_touch", "cmd_meta",    "incr_hits", "incr_misses",
                                         "decr_hits", "decr_misses", NULL};
    static const char *const cpu[] = {"rusage_user", "rusage_system", NULL};
    const double hits = gained(top, "get_hits"), misses = gained(top, "get_misses");
    char a[32], b[32], c[32], d[32];

    ctl_screen_line(screen, "requests  get %s/s  set %s/s  delete %s/s  other %s/s%s",
                    count_of(rate(top, "cmd_get"), a), count_of(rate(top, "cmd_set"), b),
                    count_of(rates(top, deletes), c), count_of(rates(top, others), d),
                    top->before.count > 0 ? "" : "  (since the start)");
    if (hits + misses > 0)
        ctl_screen_bar(screen, "hits", hits / (hits + misses), "%.2f %% of gets",
                       100 * hits / (hits + misses));
    else
        ctl_screen_bar(screen, "hits", 0, "no gets");
    ctl_screen_line(screen, "network   in %s/s  out %s/s  cpu %.1f %% of a core",
                    ctl_put_bytes(rate(top, "bytes_read"), a),
                    ctl_put_bytes(rate(top, "bytes_written"), b), 100 * rates(top, cpu));
}

static int by_time(const void *one, const void *other)
{
    const double a = *(const double *)one, b = *(const double *)other;

    return (a > b) - (a < b);
}

static void put_latency(const struct top *top, struct ctl_screen *screen)
{
    const unsigned count = top->pings < PINGS_MAX ? top->pings : PINGS_MAX;
    double sorted_s[PINGS_MAX];

    if (count == 0)
        return;
    memcpy(sorted_s, top->pings_s, count * sizeof(sorted_s[0]));
    qsort(sorted_s, count, sizeof(sorted_s[0]), by_time);
    ctl_screen_line(screen, "latency   ping %.2f ms; of %u: median %.2f, most %.2f ms",
                    1000 * top->pings_s[(top->pings - 1) % PINGS_MAX], count,
                    1000 * sorted_s[count / 2], 1000 * sorted_s[count - 1]);
}

static double zbud(const struct top *top, const char *name)
{
    return ctl_figures_number(&top->zbud, name);
}

static void put_pool(const struct top *top, struct ctl_screen *screen)
{
    const double pages = zbud(top, "pages_max");
    const struct ctl_screen_part parts[] = {
        {'#', "buddied", zbud(top, "pages_buddied")},
        {'=', "unbuddied", zbud(top, "pages_unbuddied")},
        {'L', "large", zbud(top, "pages_large")},
        {'i', "index", zbud(top, "pages_index") + zbud(top, "pages_expiry")},
    };

    ctl_screen_parts(screen, "pages", parts, sizeof(parts) / sizeof(parts[0]), pages);
}

static void put_memory(const struct top *top, struct ctl_screen *screen)
{
    const bool ours = top->zbud.count > 0;
    const double limit = general(top, "limit_maxbytes");
    const double used =
        ours ? zbud(top, "memory_resident_bytes") + zbud(top, "memory_charged_bytes")
             : ctl_figures_number(&top->slabs, "total_malloced") + general(top, "hash_bytes");
    const double raw = zbud(top, "raw_bytes"), stored = zbud(top, "stored_bytes");
    char a[32], b[32], c[32], d[32];

    ctl_screen_bar(screen, "memory", limit > 0 ? used / limit : 0, "%s of %s",
                   ctl_put_bytes(used, a), ctl_put_bytes(limit, b));
    if (ours)
        put_pool(top, screen);
    ctl_screen_line(screen, "items     %s  evicted %s/s  expired %s/s",
                    count_of(general(top, "curr_items"), a), count_of(rate(top, "evictions"), b),
                    count_of(rate(top, "reclaimed"), c));
    if (ours)
        ctl_screen_line(screen, "bytes     %s stored in %s, %.2f times compressed: %s saved",
                        ctl_put_bytes(raw, a), ctl_put_bytes(stored, b),
                        stored > 0 ? raw / stored : 0, ctl_put_bytes(raw - stored, c));
    else
        ctl_screen_line(screen, "bytes     %s in items", ctl_put_bytes(general(top, "bytes"), d));
}

/* "<what>=<key as in a URI>" as people read it. */
static void name_of(const char *name, char text[NAME_BYTES])
{
    const char *uri = strchr(name, '=');
    uint8_t key[CLIENT_KEY_BYTES_MAX];
    size_t bytes = 0;
    FILE *memory;

    uri = uri != NULL ? uri + 1 : name;
    bytes = ctl_read_uri((const uint8_t *)uri, strlen(uri), key, sizeof(key));
    text[0] = '\0';
    memory = bytes > 0 ? fmemopen(text, NAME_BYTES, "w") : NULL;
    if (memory != NULL) {
        ctl_put_key(memory, key, bytes);
        (void)fclose(memory);
    }
}

/* "... <name>=<number> ..." */
static double field(const char *value, const char *name)
{
    const size_t bytes = strlen(name);

    for (const char *at = value; at != NULL; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strncmp(at, name, bytes) == 0 && at[bytes] == '=')
            return strtod(at + bytes + 1, NULL);
    }
    return 0;
}

static void put_untold(struct ctl_screen *screen, enum told told, const char *what)
{
    ctl_screen_line(screen, "%s",
                    told == NOT_ALLOWED ? "  the server lists no keys (-X)"
                    : told == NOT_KNOWN ? "  not told by this server"
                                        : what);
}

static void put_hotkeys(const struct top *top, struct ctl_screen *screen, unsigned rows)
{
    const int width = ctl_screen_width(screen) - 28;
    const int name_width = width > 60 ? 60 : width > 10 ? width : 10;

    ctl_screen_title(screen, "%-*s %12s %10s", name_width, "hottest keys", "requests/s", "+");
    if (top->hotkeys.count == 0)
        put_untold(screen, top->told_hotkeys, "  none is hot");
    for (size_t i = 0; i < top->hotkeys.count && i < rows; i++) {
        const char *value = ctl_figures_value(&top->hotkeys, i);
        char name[NAME_BYTES];

        name_of(ctl_figures_name(&top->hotkeys, i), name);
        ctl_screen_line(screen, "%-*.*s %12.1f %10.1f", name_width, name_width, name,
                        field(value, "requests_per_s"), field(value, "error_per_s"));
    }
}

static void put_prefixes(const struct top *top, struct ctl_screen *screen, unsigned rows)
{
    const int width = ctl_screen_width(screen) - 60;
    const int name_width = width > 40 ? 40 : width > 10 ? width : 10;

    ctl_screen_title(screen, "%-*s %12s %10s %10s %6s %10s %5s", name_width, "key prefixes",
                     "items", "raw", "stored", "times", "saved", "+-%");
    if (top->prefixes.count == 0)
        put_untold(screen, top->told_prefixes, "  none yet");
    for (size_t i = 0; i < top->prefixes.count && i < rows; i++) {
        const char *value = ctl_figures_value(&top->prefixes, i);
        const double raw = field(value, "raw_bytes"), stored = field(value, "stored_bytes");
        const double saved = field(value, "saved_bytes"), error = field(value, "error_bytes");
        char name[NAME_BYTES], items[32], a[32], b[32], c[32];

        name_of(ctl_figures_name(&top->prefixes, i), name);
        ctl_screen_line(screen, "%-*.*s %12s %10s %10s %6.2f %10s %5.1f", name_width, name_width,
                        strcmp(name, "*") == 0 ? "(others)" : name,
                        count_of(field(value, "items"), items), ctl_put_bytes(raw, a),
                        ctl_put_bytes(stored, b), stored > 0 ? raw / stored : 0,
                        ctl_put_bytes(saved, c), saved != 0 ? 100 * error / fabs(saved) : 0);
    }
}

static unsigned at_least_1(size_t count)
{
    return count > 0 ? (unsigned)count : 1;
}

/* Of the lines that are left, keys get a half, and what prefixes do not need. */
static void put_frame(const struct top *top, struct ctl_screen *screen)
{
    put_head(top, screen);
    if (top->away_since_s > 0)
        return;
    put_rates(top, screen);
    put_latency(top, screen);
    put_memory(top, screen);
    ctl_screen_line(screen, "%s", "");
    const unsigned left = ctl_screen_left(screen);
    const unsigned lines = left > 3 ? left - 3 : 0; /* two titles, and a line between */
    const unsigned prefixes = at_least_1(top->prefixes.count);
    const unsigned keys = at_least_1(top->hotkeys.count);
    const unsigned for_keys = prefixes < lines / 2 ? lines - prefixes : (lines + 1) / 2;
    const unsigned shown = keys < for_keys ? keys : for_keys;

    put_hotkeys(top, screen, shown);
    ctl_screen_line(screen, "%s", "");
    put_prefixes(top, screen, lines - shown);
}

/* ---- live ---- */

static enum ctl_exit stay(struct top *top, struct ctl_screen *screen)
{
    double next_s = ctl_now_s();

    for (;;) {
        double now_s = ctl_now_s();

        if (now_s >= next_s) {
            (void)ask(top);
            /* What took longer than its time does not make the next ones come at once. */
            now_s = ctl_now_s();
            next_s += top->options.interval_s;
            next_s = next_s > now_s ? next_s : now_s + top->options.interval_s;
        }
        ctl_screen_begin(screen);
        put_frame(top, screen);
        ctl_screen_end(screen);
        switch (ctl_screen_wait(screen, top->ctl->signals, next_s - now_s)) {
        case CTL_SCREEN_QUIT:
            return CTL_GOOD;
        case CTL_SCREEN_SIGNAL:
            if (ctl_interrupted(top->ctl))
                return CTL_INTERRUPTED;
            break;
        case CTL_SCREEN_RESIZED:
        case CTL_SCREEN_TIME:
            break;
        }
    }
}

enum ctl_exit ctl_top(struct ctl *ctl, char **words, int count)
{
    struct top top = {.ctl = ctl, .options = *ctl->options};
    const bool live = !ctl->options->once && isatty(fileno(ctl->out)) == 1;
    struct ctl_screen screen;
    enum ctl_exit code = CTL_GOOD;

    (void)words;
    (void)count;
    if (top.options.timeout_s > TIMEOUT_S_MAX && live)
        top.options.timeout_s = TIMEOUT_S_MAX;
    client_set_timeout(ctl->client, (int)(top.options.timeout_s * 1000));
    if (!ctl_screen_open(&screen, ctl->out, live))
        return ctl_complain("terminal");
    if (live) {
        code = stay(&top, &screen);
    } else if (ask(&top)) {
        put_frame(&top, &screen);
    } else {
        code = ctl_fail(ctl->client, top.options.server, top.away_why);
    }
    ctl_screen_close(&screen);
    client_set_timeout(ctl->client, (int)(ctl->options->timeout_s * 1000));
    ctl_figures_free(&top.general);
    ctl_figures_free(&top.before);
    ctl_figures_free(&top.slabs);
    ctl_figures_free(&top.zbud);
    ctl_figures_free(&top.hotkeys);
    ctl_figures_free(&top.prefixes);
    return code;
}
