/* stats: a column of names, one of values, one of what they are in units that people read. */
#include "clients/ctl_commands.h"
#include "clients/ctl_figures.h"
#include "clients/ctl_text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NAME_WIDTH_MAX 64u
#define SECTION_BYTES  100u

/* ---- units ---- */

static bool ends_in(const char *name, const char *end)
{
    size_t name_bytes = strlen(name), end_bytes = strlen(end);

    return name_bytes >= end_bytes && strcmp(name + name_bytes - end_bytes, end) == 0;
}

/* What memcached and zbcached call their figures. */
static const struct {
    const char *end; /* of a figure's name */
    enum unit {
        BYTES,
        SECONDS,
        MOMENT
    } unit;
} UNITS[] = {
    {"bytes", BYTES},          {"_bytes_max", BYTES},
    {"total_malloced", BYTES}, {"mem_requested", BYTES},
    {"bytes_read", BYTES},     {"bytes_written", BYTES},
    {"chunk_size", BYTES},     {"item_size_max", BYTES},
    {"uptime", SECONDS},       {"secs_since_last_cmd", SECONDS},
    {":age", SECONDS},         {"evicted_time", SECONDS},
    {"time", MOMENT},          {"read_buf_bytes_free", BYTES},
};

static const char *in_units(const char *name, const char *value, char text[32])
{
    char *end;
    double number = strtod(value, &end);
    time_t moment = (time_t)number;
    struct tm parts;
    size_t i = 0;

    text[0] = '\0';
    while (i < sizeof(UNITS) / sizeof(UNITS[0]) && !ends_in(name, UNITS[i].end))
        i++;
    if (i == sizeof(UNITS) / sizeof(UNITS[0]) || end == value || *end != '\0')
        return text;
    switch (UNITS[i].unit) {
    case BYTES:
        return number < 1024 ? text : ctl_put_bytes(number, text);
    case SECONDS:
        if (number >= 86400)
            (void)snprintf(text, 32, "%.1f days", number / 86400);
        else if (number >= 3600)
            (void)snprintf(text, 32, "%.1f hours", number / 3600);
        else if (number >= 60)
            (void)snprintf(text, 32, "%.1f minutes", number / 60);
        return text;
    case MOMENT:
        if (strcmp(name, "time") == 0 && gmtime_r(&moment, &parts) != NULL)
            (void)strftime(text, 32, "%F %T UTC", &parts);
        return text;
    }
    return text;
}

/* ---- writing ---- */

static void put_table(FILE *out, const struct ctl_figures *figures)
{
    int names = 0, values = 0;

    for (size_t i = 0; i < figures->count; i++) {
        int name = (int)strnlen(ctl_figures_name(figures, i), NAME_WIDTH_MAX);
        int value = (int)strnlen(ctl_figures_value(figures, i), NAME_WIDTH_MAX / 2);

        names = name > names ? name : names;
        values = value > values ? value : values;
    }
    for (size_t i = 0; i < figures->count; i++) {
        const char *name = ctl_figures_name(figures, i);
        const char *value = ctl_figures_value(figures, i);
        char unit[32];

        (void)in_units(name, value, unit);
        fprintf(out, "%-*s  %*s%s%s\n", names, name, values, value, unit[0] != '\0' ? "  " : "",
                unit);
    }
}

/* A number as JSON writes them, which is stricter than what strtod() takes. */
static bool is_number(const char *text)
{
    size_t at = text[0] == '-' ? 1 : 0;
    size_t digits = strspn(text + at, "0123456789");

    if (digits == 0 || (digits > 1 && text[at] == '0'))
        return false;
    at += digits;
    if (text[at] == '.') {
        digits = strspn(text + at + 1, "0123456789");
        at += digits > 0 ? digits + 1 : 0;
    }
    return text[at] == '\0';
}

static void put_json(FILE *out, const struct ctl_figures *figures)
{
    fprintf(out, "{");
    for (size_t i = 0; i < figures->count; i++) {
        const char *name = ctl_figures_name(figures, i);
        const char *value = ctl_figures_value(figures, i);

        fprintf(out, "%s\n  ", i > 0 ? "," : "");
        ctl_put_json(out, name, strlen(name));
        fprintf(out, ": ");
        if (is_number(value))
            fprintf(out, "%s", value);
        else
            ctl_put_json(out, value, strlen(value));
    }
    fprintf(out, "\n}\n");
}

enum ctl_exit ctl_stats(struct ctl *ctl, char **words, int count)
{
    struct ctl_figures figures = {0};
    char section[SECTION_BYTES] = "";
    size_t used = 0;
    enum client_status status;

    for (int i = 0; i < count; i++) {
        int more =
            snprintf(section + used, sizeof(section) - used, "%s%s", i > 0 ? " " : "", words[i]);

        if (more < 0 || (size_t)more >= sizeof(section) - used)
            return ctl_fail(ctl->client, words[i], CLIENT_BAD_KEY);
        used += (size_t)more;
    }
    status = ctl_figures_read(ctl->client, section, &figures);
    if (status == CLIENT_END)
        (ctl->options->json ? put_json : put_table)(ctl->out, &figures);
    ctl_figures_free(&figures);
    return status == CLIENT_END ? CTL_GOOD : ctl_fail(ctl->client, "stats", status);
}
