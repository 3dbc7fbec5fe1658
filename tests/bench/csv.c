#include "tests/bench/csv.h"

#include "tests/bench/bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct csv {
    FILE *file;
    const char *path;
    const char *bench;
};

struct csv *csv_open(const char *path, const char *bench)
{
    if (path[0] == '\0')
        return NULL;
    struct csv *csv = calloc(1, sizeof(*csv));
    if (csv == NULL)
        bench_fail(path, "no memory");
    *csv = (struct csv){.file = fopen(path, "ae"), .path = path, .bench = bench};
    if (csv->file == NULL)
        bench_fail(path, strerror(errno));
    /* Where appending begins is not told before it is asked for. */
    if (fseek(csv->file, 0, SEEK_END) == 0 && ftell(csv->file) == 0)
        fputs("bench,what,server,figure,value\n", csv->file);
    return csv;
}

static void put_text(FILE *file, const char *text)
{
    if (strpbrk(text, ",\"\n") == NULL) {
        fputs(text, file);
        return;
    }
    fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputc('"', file);
        fputc(*text, file);
    }
    fputc('"', file);
}

void csv_put(struct csv *csv, const char *what, const char *server, const char *figure,
             double value)
{
    if (csv == NULL)
        return;
    fprintf(csv->file, "%s,", csv->bench);
    put_text(csv->file, what);
    fprintf(csv->file, ",%s,%s,%.10g\n", server, figure, value);
    if (fflush(csv->file) != 0)
        bench_fail(csv->path, strerror(errno));
}

void csv_close(struct csv *csv)
{
    if (csv == NULL)
        return;
    if (fclose(csv->file) != 0)
        bench_fail(csv->path, strerror(errno));
    free(csv);
}
