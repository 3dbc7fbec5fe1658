/*
 * corpus_list.c - what a corpus holds, as a table:  corpus_list [folder]
 */
#include "tests/corpus/corpus.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define SAMPLE_COUNT 20000

static bool list_one(const char *folder, const char *name)
{
    char error[CORPUS_ERROR_BYTES_MAX];
    struct corpus *corpus = corpus_new(folder, name, 1, error);
    struct corpus_item item;
    size_t key_bytes = 0;
    size_t value_bytes = 0;

    if (corpus == NULL) {
        fprintf(stderr, "%s\n", error);
        return false;
    }
    for (int i = 0; i < SAMPLE_COUNT; i++) {
        corpus_item(corpus, corpus_draw(corpus), &item);
        key_bytes += item.key_bytes;
        value_bytes += item.value_bytes;
    }
    printf("%-12s %10zu %10zu\n", name, key_bytes / SAMPLE_COUNT, value_bytes / SAMPLE_COUNT);
    corpus_free(corpus);
    return true;
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : NULL;
    bool good = true;

    printf("%-12s %10s %10s   (means of %d items)\n", "", "key bytes", "value", SAMPLE_COUNT);
    for (unsigned i = 0; i < CORPUS_CLASSES_COUNT; i++)
        good = list_one(folder, CORPUS_CLASSES[i].name) && good;
    good = list_one(folder, "mix") && good;
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
