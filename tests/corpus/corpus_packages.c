/*
 * Items made from what every Debian machine that can build this project has: the package database
 * below /var/lib/dpkg and the headers below /usr/include. They stand in for the classes of the same
 * names: like in kind, size and the way they repeat themselves, not in content.
 */
#include "clients/load_file.h"
#include "tests/corpus/corpus_records.h"

#include <errno.h>
#include <fts.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DPKG_STATUS       "/var/lib/dpkg/status"
#define DPKG_INFO         "/var/lib/dpkg/info"
#define HEADERS           "/usr/include"

#define SMALL_COUNT_MAX   150000u
#define SESSION_COUNT_MAX 70000u
#define TINY_COUNT        200000u
#define BINARY_COUNT      1000u
#define TEXT_BYTES_MAX    ((size_t)16 << 20)
#define VALUE_BYTES_MAX   32768u

/* What a file holds, behind what came before, with a 0 at the end. */
static bool text_append(struct load_buffer *text, const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *end;
    bool good;

    if (file == NULL)
        return true; /* gone or unreadable: others are there */
    good = load_file_append(text, file, false, SIZE_MAX);
    (void)fclose(file);
    end = good ? load_buffer_room(text, 1) : NULL;
    if (end == NULL)
        return false;
    *end = '\0';
    return true;
}

/* "@ NAME", a line. */
static bool text_foot(struct load_buffer *text, const FTSENT *entry)
{
    char *end = (char *)load_buffer_room(text, entry->fts_namelen + sizeof("@ \n"));

    if (end == NULL)
        return false;
    text->end += (size_t)sprintf(end, "@ %s\n", entry->fts_name);
    return true;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* All files below @folder whose names end in @ending, in the order of their names. With @footed, a
 * line "@ NAME" stands behind each. */
static bool text_collect(struct load_buffer *text, const char *folder, const char *ending,
                         bool footed)
{
    char path[] = "/the/folder/of/one/of/the/two/sources";
    char *folders[] = {path, NULL};
    FTS *walk;
    bool good = true;

    snprintf(path, sizeof(path), "%s", folder);
    walk = fts_open(folders, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    if (walk == NULL)
        return false;
    for (FTSENT *entry = fts_read(walk); good && entry != NULL && text->end < TEXT_BYTES_MAX;
         entry = fts_read(walk)) {
        size_t ending_bytes = strlen(ending);

        if (entry->fts_info != FTS_F || entry->fts_namelen < ending_bytes ||
            strcmp(entry->fts_name + entry->fts_namelen - ending_bytes, ending) != 0)
            continue;
        good = text_append(text, entry->fts_path) && (!footed || text_foot(text, entry));
    }
    fts_close(walk);
    return good;
}

/* The next line of a text, cut off with a 0; NULL at the end. */
static char *next_line(char **rest)
{
    char *line = strsep(rest, "\n");

    return line != NULL && (*rest != NULL || line[0] != '\0') ? line : NULL;
}

/* Copies as the inside of a JSON string; cut where there is no room. */
static size_t json_text(char *out, size_t room, const char *text)
{
    size_t used = 0;

    for (; *text != '\0' && used + 3 < room; text++) {
        if (*text == '"' || *text == '\\')
            out[used++] = '\\';
        if ((unsigned char)*text >= ' ')
            out[used++] = *text;
    }
    out[used] = '\0';
    return used;
}

/* ---- from the lists of files and their sums ---- */

static bool add_small(struct corpus_records *records, const char *sum, const char *path,
                      uint64_t number)
{
    const char *name = strrchr(path, '/');
    char shown[1024];
    char key[64];
    char value[2048];
    int key_bytes = snprintf(key, sizeof(key), "file:%.12s%" PRIx64, sum, number % 16);
    int value_bytes;

    json_text(shown, sizeof(shown), path);
    value_bytes =
        snprintf(value, sizeof(value),
                 "{\"id\":%" PRIu64 ",\"path\":\"/%s\",\"name\":\"%s\",\"md5\":\"%s\",\"mode\":"
                 "\"0644\",\"owner\":\"root\",\"mirrored\":%s}",
                 100000 + number, shown, name != NULL ? strrchr(shown, '/') + 1 : shown, sum,
                 number % 3 == 0 ? "true" : "false");
    return corpus_records_add(records, key, (size_t)key_bytes, value, (size_t)value_bytes);
}

static bool add_session(struct corpus_records *records, const char *sum, const char *path,
                        uint64_t number, uint64_t *seed)
{
    uint64_t random = corpus_random(seed);
    char key[64];
    char value[2048];
    int key_bytes = snprintf(key, sizeof(key), "sess:%s", sum);
    int value_bytes = snprintf(
        value, sizeof(value),
        "user|a:6:{s:2:\"id\";i:%" PRIu64 ";s:4:\"role\";s:6:\"%s\";s:5:\"email\";s:20:\"%.8s@mail."
        "example\";s:5:\"token\";s:32:\"%s\";s:9:\"logged_in\";b:1;s:5:\"since\";i:%" PRIu64 ";}"
        "last_page|s:%zu:\"/%.300s\";cart|a:2:{i:0;a:3:{s:3:\"sku\";s:8:\"%08" PRIX64 "\";s:3:"
        "\"qty\";i:%" PRIu64 ";s:5:\"price\";d:%" PRIu64 ".%02" PRIu64 ";}i:1;a:3:{s:3:\"sku\";s:8:"
        "\"%08" PRIX64 "\";s:3:\"qty\";i:1;s:5:\"price\";d:9.99;}}csrf|s:16:\"%016" PRIx64 "\";"
        "locale|s:5:\"%s\";",
        1000 + number * 7, number % 5 == 0 ? "editor" : "reader", sum, sum,
        UINT64_C(1700000000) + (random & 0xffffff), strlen(path) + 1, path, random & 0xffffffff,
        1 + random % 4, 1 + random % 300, random % 100, random >> 32, corpus_random(seed),
        number % 4 == 0 ? "de_DE" : "en_GB");

    return corpus_records_add(records, key, (size_t)key_bytes, value, (size_t)value_bytes);
}

static bool make_from_sums(struct corpus_records *records, bool sessions, uint64_t seed)
{
    struct load_buffer text = {0};
    uint64_t count = 0;
    bool good = text_collect(&text, DPKG_INFO, ".md5sums", false);
    char *rest = (char *)text.data;

    for (char *line = rest != NULL ? next_line(&rest) : NULL; good && line != NULL;
         line = next_line(&rest)) {
        /* "0123456789abcdef0123456789abcdef  usr/bin/name" */
        if (strlen(line) < 36 || strlen(line) > 600 || line[32] != ' ')
            continue;
        line[32] = '\0';
        good = sessions ? add_session(records, line, line + 34, count, &seed)
                        : add_small(records, line, line + 34, count);
        count++;
        if (count >= (sessions ? SESSION_COUNT_MAX : SMALL_COUNT_MAX))
            break;
    }
    load_buffer_fini(&text);
    return good;
}

/* ---- from the package records ---- */

static bool make_documents(struct corpus_records *records)
{
    struct load_buffer text = {0};
    bool good = text_append(&text, DPKG_STATUS);
    char *rest = (char *)text.data;
    char key[128] = "";
    char value[VALUE_BYTES_MAX];
    size_t used = 0;

    for (char *line = rest != NULL ? next_line(&rest) : NULL; good && line != NULL;
         line = next_line(&rest)) {
        char *colon = strstr(line, ": ");

        if (line[0] == '\0' && used > 0) {
            used += (size_t)snprintf(value + used, sizeof(value) - used, "}");
            good = corpus_records_add(records, key, strlen(key), value, used);
            used = 0;
            continue;
        }
        /* Lines that go on from the one before begin with a blank; one that is too long is left. */
        if (line[0] == ' ' || colon == NULL || used + 2 * strlen(line) + 16 > sizeof(value))
            continue;
        *colon = '\0';
        if (strcmp(line, "Package") == 0)
            snprintf(key, sizeof(key), "package:%.100s", colon + 2);
        used += (size_t)snprintf(value + used, sizeof(value) - used, "%s\"%s\":\"",
                                 used == 0 ? "{" : ",", line);
        used += json_text(value + used, sizeof(value) - used - 4, colon + 2);
        value[used++] = '"';
    }
    load_buffer_fini(&text);
    return good;
}

/* ---- from headers ---- */

/* Pieces of @bytes_min to three times that, between @before and @after. */
static bool make_pieces(struct corpus_records *records, const char *key_prefix, size_t bytes_min,
                        const char *before, const char *after, uint64_t seed)
{
    struct load_buffer text = {0};
    bool good = text_collect(&text, HEADERS, ".h", true);
    char value[VALUE_BYTES_MAX];
    char key[64];
    uint64_t count = 0;
    size_t at = 0;

    while (good && at < text.end) {
        size_t piece = bytes_min + (size_t)(corpus_random(&seed) % (2 * bytes_min));
        int used;
        int key_bytes = snprintf(key, sizeof(key), "%s:%" PRIu64, key_prefix, count);

        piece = piece < text.end - at ? piece : text.end - at;
        used = snprintf(value, sizeof(value), "%s<h1>%s</h1>%.*s%s", before, key, (int)piece,
                        (char *)text.data + at, after);
        used = used < (int)sizeof(value) ? used : (int)sizeof(value) - 1;
        good = corpus_records_add(records, key, (size_t)key_bytes, value, (size_t)used);
        at += piece;
        count++;
    }
    load_buffer_fini(&text);
    return good;
}

/* ---- from nothing ---- */

static bool make_tiny(struct corpus_records *records, uint64_t seed)
{
    static const char *const KINDS[] = {"hits", "likes", "seen", "quota", "flag"};
    bool good = true;

    for (unsigned i = 0; good && i < TINY_COUNT; i++) {
        uint64_t random = corpus_random(&seed);
        char key[64];
        char value[32];
        int key_bytes = snprintf(key, sizeof(key), "%s:%u", KINDS[i % 5], 10000 + i);
        int value_bytes =
            i % 5 == 4 ? snprintf(value, sizeof(value), "%u", (unsigned)random & 1)
                       : snprintf(value, sizeof(value), "%" PRIu64, random >> (8 + random % 48));

        good = corpus_records_add(records, key, (size_t)key_bytes, value, (size_t)value_bytes);
    }
    return good;
}

static bool make_binary(struct corpus_records *records, uint64_t seed)
{
    uint64_t words[VALUE_BYTES_MAX / sizeof(uint64_t) / 2];
    bool good = true;

    for (unsigned i = 0; good && i < BINARY_COUNT; i++) {
        char key[64];
        int key_bytes = snprintf(key, sizeof(key), "image:%u", i);
        size_t bytes = 1000 + (size_t)(corpus_random(&seed) % (sizeof(words) - 1000));

        for (size_t j = 0; j * sizeof(words[0]) < bytes; j++)
            words[j] = corpus_random(&seed);
        good = corpus_records_add(records, key, (size_t)key_bytes, words, bytes);
    }
    return good;
}

bool corpus_make(struct corpus_records *records, unsigned number, uint64_t seed,
                 char error[CORPUS_ERROR_BYTES_MAX])
{
    const char *name = CORPUS_CLASSES[number].name;
    bool good = false;

    errno = 0;
    if (strcmp(name, "small_json") == 0)
        good = make_from_sums(records, false, seed);
    else if (strcmp(name, "sessions") == 0)
        good = make_from_sums(records, true, seed);
    else if (strcmp(name, "documents") == 0)
        good = make_documents(records);
    else if (strcmp(name, "fragments") == 0)
        good =
            make_pieces(records, "fragment", 700, "<section class=\"entry\">", "</section>", seed);
    else if (strcmp(name, "pages") == 0)
        good = make_pieces(records, "page", 10000,
                           "<!DOCTYPE html><html><head><meta charset=\"utf-8\"></head><body><pre>",
                           "</pre></body></html>", seed);
    else if (strcmp(name, "tiny") == 0)
        good = make_tiny(records, seed);
    else if (strcmp(name, "binary") == 0)
        good = make_binary(records, seed);
    if (!good)
        snprintf(error, CORPUS_ERROR_BYTES_MAX, "cannot make corpus %s from packages: %s", name,
                 errno != 0 ? strerror(errno) : "no memory");
    return good;
}
