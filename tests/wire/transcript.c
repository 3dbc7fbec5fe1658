#include "tests/wire/transcript.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIFFERS "memcached 1.6.18 answers differently: "

struct reader {
    struct transcript *transcript;
    unsigned line;
    size_t group; /* the first step of the expectations that a difference would replace */
    bool differs; /* in the indented lines behind a difference */
    const char *wrong;
};

/* The rest of @text behind @prefix, or NULL. */
static const char *behind(const char *text, const char *prefix)
{
    size_t bytes = strlen(prefix);
    return strncmp(text, prefix, bytes) == 0 ? text + bytes : NULL;
}

static bool is_expectation(enum transcript_action action)
{
    return action == TRANSCRIPT_EXPECT || action == TRANSCRIPT_CLOSES;
}

static struct transcript_step *add_step(struct reader *reader, enum transcript_action action)
{
    struct transcript *transcript = reader->transcript;
    size_t bytes = (transcript->steps_count + 1) * sizeof(*transcript->steps);
    transcript->steps = realloc(transcript->steps, bytes);
    assert(transcript->steps != NULL);
    struct transcript_step *step = &transcript->steps[transcript->steps_count++];
    *step = (struct transcript_step){
        .action = action,
        .whom = reader->differs ? TRANSCRIPT_FOR_MEMCACHED : TRANSCRIPT_FOR_BOTH,
        .line = reader->line,
    };
    if (!is_expectation(action)) {
        if (reader->differs)
            reader->wrong = "only what is expected can differ";
        reader->group = transcript->steps_count;
    }
    return step;
}

static void read_sleep(struct reader *reader, const char *text)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds > 0) ||
        seconds * 1000 > (double)TRANSCRIPT_SLEEP_MS_MAX)
        reader->wrong = "sleep wants seconds, at most 5";
    else
        add_step(reader, TRANSCRIPT_SLEEP)->sleep_ms = (unsigned)(seconds * 1000);
}

static void read_differ(struct reader *reader, const char *text)
{
    struct transcript_step *step = add_step(reader, TRANSCRIPT_DIFFER);
    char more;
    if (sscanf(text, "%15s %15s %c", step->names[0], step->names[1], &more) != 2)
        reader->wrong = "differ wants two names";
}

/* "server:", "over:", "whole:", "plain:". False where the line is none of these. */
static bool read_header(struct reader *reader, const char *line)
{
    struct transcript *transcript = reader->transcript;
    const char *text;
    if ((text = behind(line, "server: ")) != NULL) {
        int bytes = snprintf(transcript->options, sizeof(transcript->options), "%s", text);
        if ((size_t)bytes >= sizeof(transcript->options))
            reader->wrong = "too many options";
    } else if (strcmp(line, "over: unix") == 0) {
        transcript->over_unix = true;
    } else if ((text = behind(line, "whole: ")) != NULL) {
        transcript->whole = true;
    } else if ((text = behind(line, "plain: ")) != NULL) {
        transcript->plain = true;
    } else {
        return false;
    }
    if (transcript->steps_count > 0)
        reader->wrong = "this belongs before the first step";
    return true;
}

/* ">", ">|", "<", "<|" and what follows. */
static void read_bytes(struct reader *reader, const char *text, unsigned connection)
{
    struct transcript_step *step =
        add_step(reader, *text == '>' ? TRANSCRIPT_SEND : TRANSCRIPT_EXPECT);
    const char *tail = "\r\n";
    step->connection = connection;
    text++;
    if (*text == '|') {
        tail = "";
        text++;
    }
    if (*text != ' ' && *text != '\0')
        reader->wrong = "a space belongs behind > and <";
    if (*text == ' ')
        text++;
    const char *wrong = pattern_parse(text, tail, &step->pattern);
    if (wrong != NULL)
        reader->wrong = wrong;
}

static void read_step(struct reader *reader, const char *line)
{
    static const struct {
        const char *words;
        enum transcript_action action;
    } WORDS[] = {
        {"closes", TRANSCRIPT_CLOSES},
        {"shuts down", TRANSCRIPT_SHUTS_DOWN},
        {"hangs up", TRANSCRIPT_HANGS_UP},
        {"server ends", TRANSCRIPT_SERVER_ENDS},
    };
    const char *text;
    if ((text = behind(line, "sleep ")) != NULL) {
        read_sleep(reader, text);
        return;
    }
    if ((text = behind(line, "differ ")) != NULL) {
        read_differ(reader, text);
        return;
    }
    unsigned connection = 0;
    if (isupper((unsigned char)*line)) {
        connection = (unsigned)(*line++ - 'A');
        line += *line == ' ';
    }
    if (*line == '>' || *line == '<') {
        read_bytes(reader, line, connection);
        return;
    }
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        if (strcmp(line, WORDS[i].words) == 0) {
            add_step(reader, WORDS[i].action)->connection = connection;
            return;
        }
    }
    reader->wrong = "not a step";
}

/* The expectations since the last blank line are ours alone; the indented ones are memcached's. */
static void read_difference(struct reader *reader, const char *reason)
{
    struct transcript *transcript = reader->transcript;
    if (strlen(reason) < 10)
        reader->wrong = "a difference wants a reason";
    if (reader->group == transcript->steps_count)
        reader->wrong = "a difference stands behind what is expected";
    for (size_t i = reader->group; i < transcript->steps_count; i++) {
        if (transcript->steps[i].whom == TRANSCRIPT_FOR_MEMCACHED)
            reader->wrong = "one difference at a time: a blank line belongs between";
        transcript->steps[i].whom = TRANSCRIPT_FOR_OURS;
    }
    reader->differs = true;
}

static void read_line(struct reader *reader, const char *line)
{
    bool indented = line[0] == ' ';
    const char *text = line + strspn(line, " ");
    if (text[0] == '#')
        return;
    if (!indented && reader->differs) {
        reader->differs = false;
        reader->group = reader->transcript->steps_count;
    }
    if (text[0] == '\0') {
        reader->group = reader->transcript->steps_count;
        return;
    }
    const char *reason = behind(text, DIFFERS);
    if (indented && reason != NULL)
        read_difference(reader, reason);
    else if (indented && !reader->differs)
        reader->wrong = "only a difference is indented";
    else if (indented || !read_header(reader, text))
        read_step(reader, text);
}

bool transcript_parse(const char *text, struct transcript *transcript, char *error)
{
    *transcript = (struct transcript){0};
    struct reader reader = {.transcript = transcript};
    char *copy = strdup(text);
    assert(copy != NULL);
    for (char *line = copy; line != NULL && reader.wrong == NULL;) {
        char *next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        reader.line++;
        read_line(&reader, line);
        line = next;
    }
    free(copy);
    if (reader.wrong == NULL && transcript->steps_count == 0)
        reader.wrong = "no steps";
    if (reader.wrong != NULL)
        (void)snprintf(error, TRANSCRIPT_ERROR_BYTES, "line %u: %s", reader.line, reader.wrong);
    return reader.wrong == NULL;
}

bool transcript_load(const char *path, struct transcript *transcript, char *error)
{
    *transcript = (struct transcript){0};
    struct pattern_bytes text = {0};
    char piece[4096];
    size_t got;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        (void)snprintf(error, TRANSCRIPT_ERROR_BYTES, "%s: %s", path, strerror(errno));
        return false;
    }
    while ((got = fread(piece, 1, sizeof(piece), file)) > 0)
        pattern_bytes_add(&text, piece, got);
    bool good = ferror(file) == 0;
    (void)fclose(file);
    pattern_bytes_add(&text, "", 1);
    if (!good)
        (void)snprintf(error, TRANSCRIPT_ERROR_BYTES, "%s: cannot be read", path);
    else
        good = transcript_parse((const char *)text.data, transcript, error);
    pattern_bytes_free(&text);
    return good;
}

void transcript_free(struct transcript *transcript)
{
    for (size_t i = 0; i < transcript->steps_count; i++)
        pattern_free(&transcript->steps[i].pattern);
    free(transcript->steps);
    *transcript = (struct transcript){0};
}
