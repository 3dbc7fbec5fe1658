/* dump, save, load, warm: all items of a server, one after another. */
#include "clients/ctl_commands.h"
#include "clients/ctl_connect.h"
#include "clients/ctl_file.h"
#include "clients/ctl_items.h"
#include "clients/ctl_keys.h"
#include "clients/ctl_progress.h"
#include "clients/ctl_text.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RATE_DEFAULT 10000. /* items a second that are read from a server at work */
#define PATH_BYTES   4096u

/* What is done with each item that is read. */
struct copying {
    struct ctl *ctl;
    struct ctl_file *file;   /* either this */
    struct ctl_store *store; /* or that */
    uint64_t read, gone;
};

/* ---- dump ---- */

struct dumping {
    struct ctl *ctl;
    struct ctl_progress progress;
    int64_t now_s;
};

static bool dump_one(void *context, const struct ctl_known *known)
{
    struct dumping *dumping = context;
    FILE *out = dumping->ctl->out;
    int64_t ttl_s = known->expires_at_s < 0 ? -1 : known->expires_at_s - dumping->now_s;

    if (dumping->ctl->options->json) {
        fprintf(out, "{\"key\": ");
        ctl_put_json(out, known->key, known->key_bytes);
        fprintf(out, ", \"bytes\": %" PRIu64 ", \"ttl\": %" PRId64 "}\n", known->bytes, ttl_s);
    } else {
        fprintf(out, "%8" PRIu64 "  ", known->bytes);
        if (ttl_s < 0)
            fprintf(out, "%10s  ", "-");
        else
            fprintf(out, "%10" PRId64 "  ", ttl_s);
        ctl_put_key(out, known->key, known->key_bytes);
        (void)putc('\n', out);
    }
    ctl_progress_add(&dumping->progress, 1);
    return ferror(out) == 0;
}

enum ctl_exit ctl_dump(struct ctl *ctl, char **words, int count)
{
    struct dumping dumping = {.ctl = ctl, .now_s = (int64_t)time(NULL)};
    enum ctl_exit code;

    (void)words;
    (void)count;
    dumping.progress = ctl_progress_begin(ctl, "dump", 0, 0);
    if (isatty(fileno(ctl->out)) == 1)
        dumping.progress.file = NULL; /* the lines themselves show it */
    if (!ctl->options->json)
        fprintf(ctl->out, "%8s  %10s  key\n", "bytes", "ttl, s");
    code = ctl_keys_read(ctl, ctl->client, dump_one, &dumping);
    ctl_progress_end(&dumping.progress);
    return code;
}

/* ---- from a server ---- */

static enum ctl_exit copy_one(void *context, const struct ctl_item *item)
{
    struct copying *copying = context;

    copying->read++;
    if (copying->store != NULL)
        return ctl_items_store(copying->store, item);
    if (ctl_file_put(copying->file, item, item->ttl_s < 0 ? -1 : (int64_t)time(NULL) + item->ttl_s))
        return CTL_GOOD;
    return ctl_complain("writing the file");
}

static enum ctl_exit copy_all(struct copying *copying, const char *name, struct client *from)
{
    const double asked = copying->ctl->options->rate;
    struct ctl_known batch[CTL_BATCH_KEYS];
    struct ctl_progress progress;
    struct ctl_keys keys;
    enum ctl_exit code;
    size_t count = 1;

    if (!ctl_keys_init(&keys))
        return ctl_complain("temporary file of keys");
    code = ctl_keys_gather(copying->ctl, from, &keys);
    progress = ctl_progress_begin(copying->ctl, name, keys.count, asked > 0 ? asked : RATE_DEFAULT);
    while (code == CTL_GOOD && count > 0) {
        for (count = 0; count < CTL_BATCH_KEYS && ctl_keys_next(&keys, &batch[count]);)
            count++;
        code = ctl_items_read(from, batch, count, copy_one, copying, &copying->gone);
        ctl_progress_add(&progress, count);
        if (ctl_interrupted(copying->ctl) && code == CTL_GOOD)
            code = CTL_INTERRUPTED;
    }
    ctl_progress_end(&progress);
    ctl_keys_fini(&keys);
    return code;
}

/* ---- save ---- */

static bool finish_file(struct ctl_file *file)
{
    return ctl_file_finish(file) && fflush(file->file) == 0 && fsync(fileno(file->file)) == 0;
}

/* The file has its name once it is whole. */
enum ctl_exit ctl_save(struct ctl *ctl, char **words, int count)
{
    struct ctl_file file;
    struct copying copying = {.ctl = ctl, .file = &file};
    char path[PATH_BYTES];
    char done[32];
    enum ctl_exit code;
    struct stat there;
    FILE *stream;

    (void)count;
    /* A device's place is not taken. */
    if (stat(words[0], &there) == 0 && !S_ISREG(there.st_mode)) {
        errno = EEXIST;
        return ctl_complain(words[0]);
    }
    if ((size_t)snprintf(path, sizeof(path), "%s.part", words[0]) >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return ctl_complain(words[0]);
    }
    stream = fopen(path, "we");
    if (stream == NULL)
        return ctl_complain(path);
    code = ctl_file_begin(&file, stream) ? copy_all(&copying, "save", ctl->client)
                                         : ctl_complain(path);
    if (code == CTL_GOOD && !finish_file(&file))
        code = ctl_complain(path);
    if (fclose(stream) != 0 && code == CTL_GOOD)
        code = ctl_complain(path);
    if (code == CTL_GOOD && rename(path, words[0]) != 0)
        code = ctl_complain(words[0]);
    if (code != CTL_GOOD) {
        (void)unlink(path);
        return code;
    }
    fprintf(ctl->out, "%s items in %s\n", ctl_put_count(copying.read, done), words[0]);
    return CTL_GOOD;
}

/* ---- load ---- */

static enum ctl_exit tell_stored(struct ctl *ctl, const struct ctl_store *store, uint64_t gone)
{
    char stored[32], kept[32], left[32];

    fprintf(ctl->out, "%s items stored, %s were there already, %s gone meanwhile",
            ctl_put_count(store->stored, stored), ctl_put_count(store->kept, kept),
            ctl_put_count(gone, left));
    if (store->refused == 0) {
        fprintf(ctl->out, "\n");
        return CTL_GOOD;
    }
    fprintf(ctl->out, ", %s refused: %s\n", ctl_put_count(store->refused, kept), store->refusal);
    return CTL_NO;
}

static enum ctl_exit load_items(struct ctl *ctl, struct ctl_file *file, struct ctl_store *store,
                                uint64_t *gone)
{
    struct ctl_progress progress = ctl_progress_begin(ctl, "load", 0, ctl->options->rate);
    enum ctl_file_status status = ctl_file_open(file, file->file);
    enum ctl_exit code = CTL_GOOD;

    while (status == CTL_FILE_OK && code == CTL_GOOD) {
        struct ctl_item item;
        int64_t expires_at_s;

        status = ctl_file_next(file, &item, &expires_at_s);
        if (status != CTL_FILE_OK)
            break;
        item.ttl_s = expires_at_s < 0 ? -1 : expires_at_s - (int64_t)time(NULL);
        if (expires_at_s >= 0 && item.ttl_s <= 0)
            ++*gone;
        else
            code = ctl_items_store(store, &item);
        ctl_progress_add(&progress, 1);
        if (ctl_interrupted(ctl) && code == CTL_GOOD)
            code = CTL_INTERRUPTED;
    }
    if (store->waiting > 0 && code != CTL_NO_SERVER) {
        enum ctl_exit last = ctl_items_settle(store);

        code = code == CTL_GOOD ? last : code;
    }
    ctl_progress_end(&progress);
    if (code != CTL_GOOD || status == CTL_FILE_END)
        return code;
    errno = status == CTL_FILE_DAMAGED ? EBADMSG : ENOMEM;
    return CTL_NO_FILE;
}

enum ctl_exit ctl_load(struct ctl *ctl, char **words, int count)
{
    struct ctl_store store = {.client = ctl->client, .overwrite = ctl->options->overwrite};
    struct ctl_file file = {.file = fopen(words[0], "re")};
    uint64_t gone = 0;
    enum ctl_exit code, told;

    (void)count;
    if (file.file == NULL)
        return ctl_complain(words[0]);
    code = load_items(ctl, &file, &store, &gone);
    if (code == CTL_NO_FILE) {
        fprintf(stderr, "zbctl: %.500s: %s\n", words[0],
                errno == ENOMEM ? "no memory for a value"
                                : "cut off, damaged, or not written by zbctl save; what came before"
                                  " is loaded");
    }
    (void)fclose(file.file);
    ctl_file_fini(&file);
    told = tell_stored(ctl, &store, gone);
    return code == CTL_GOOD ? told : code;
}

/* ---- warm ---- */

enum ctl_exit ctl_warm(struct ctl *ctl, char **words, int count)
{
    struct client *from = client_new();
    struct ctl_store store = {.client = client_new(), .overwrite = ctl->options->overwrite};
    struct copying copying = {.ctl = ctl, .store = &store};
    enum ctl_exit code = CTL_NO_SERVER, last;

    (void)count;
    if (from != NULL && store.client != NULL)
        code = ctl_connect(ctl->options, from, words[0], ctl->options->auth_file, "ZBCTL_AUTH");
    if (code == CTL_GOOD)
        code = ctl_connect(ctl->options, store.client, words[1], ctl->options->to_auth_file,
                           "ZBCTL_TO_AUTH");
    if (code == CTL_GOOD) {
        code = copy_all(&copying, "warm", from);
        if (client_connected(store.client)) {
            last = ctl_items_settle(&store);
            code = code == CTL_GOOD ? last : code;
        }
        last = tell_stored(ctl, &store, copying.gone);
        code = code == CTL_GOOD ? last : code;
    }
    client_free(from);
    client_free(store.client);
    return code;
}
