/*
 * replay.c - plays every file of a folder at a fuzz target, once: the corpus as an ordinary test.
 *
 * Usage: <test> <folder>
 */
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    INPUT_BYTES_MAX = 1 << 20
};

/* Returns false where the file cannot be read or is larger than an input may be. */
static bool play(const char *path, uint8_t *room)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return false;
    }
    const size_t bytes = fread(room, 1, INPUT_BYTES_MAX, file);
    const bool whole = ferror(file) == 0 && fgetc(file) == EOF;
    (void)fclose(file);
    if (!whole) {
        (void)fprintf(stderr, "%s: not read, or over %d bytes\n", path, INPUT_BYTES_MAX);
        return false;
    }

    /* A block of exactly the input's size, so that a byte too far is seen. */
    uint8_t *input = malloc(bytes > 0 ? bytes : 1);
    if (input == NULL) {
        return false;
    }
    memcpy(input, room, bytes);
    (void)LLVMFuzzerTestOneInput(input, bytes);
    free(input);
    return true;
}

/* Returns how many files were played, or -1. */
static int play_folder(const char *folder, uint8_t *room)
{
    DIR *entries = opendir(folder);
    int played = 0;

    if (entries == NULL) {
        perror(folder);
        return -1;
    }
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        char path[4096];
        if (entry->d_name[0] == '.') {
            continue;
        }
        const int bytes = snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (bytes < 0 || (size_t)bytes >= sizeof(path) || !play(path, room)) {
            played = -1;
            break;
        }
        played++;
    }
    (void)closedir(entries);
    return played;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s <folder>\n", argv[0]);
        return EXIT_FAILURE;
    }
    uint8_t *room = malloc(INPUT_BYTES_MAX);
    if (room == NULL) {
        return EXIT_FAILURE;
    }
    const int played = play_folder(argv[1], room);
    free(room);
    (void)printf("%d inputs played\n", played);
    return played > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
