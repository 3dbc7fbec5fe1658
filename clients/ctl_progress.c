#include "clients/ctl_progress.h"

#include "clients/ctl_text.h"

#include <assert.h>
#include <time.h>
#include <unistd.h>

#define BAR_CELLS   20u
#define SHOW_EACH_S .2
#define LINE_EACH_S 5. /* where lines cannot be written over */

double ctl_now_s(void)
{
    struct timespec now;
    int answer = clock_gettime(CLOCK_MONOTONIC, &now);

    assert(answer == 0);
    (void)answer;
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct ctl_progress ctl_progress_begin(const struct ctl *ctl, const char *name, uint64_t total,
                                       double rate)
{
    const bool terminal = isatty(STDERR_FILENO) == 1;
    const double now_s = ctl_now_s();

    return (struct ctl_progress){
        .ctl = ctl,
        .name = name,
        .file = terminal || ctl->options->progress ? stderr : NULL,
        .total = total,
        .rate = rate,
        .started_s = now_s,
        .shown_s = now_s,
        .over = terminal,
    };
}

static void show(const struct ctl_progress *progress, double now_s)
{
    const double seconds = now_s - progress->started_s;
    const double speed = seconds > 0 ? (double)progress->done / seconds : 0;
    char done[32], total[32], pace[32];

    fprintf(progress->file, "%s%s ", progress->over ? "\r" : "", progress->name);
    if (progress->total > 0) {
        /* A server's items go on changing: there may be more than it had at first. */
        double share = (double)progress->done / (double)progress->total;
        unsigned cells = share < 1 ? (unsigned)(share * BAR_CELLS) : BAR_CELLS;

        fprintf(progress->file, " [%.*s%.*s] %3.0f %%  %s of %s", (int)cells,
                "####################", (int)(BAR_CELLS - cells), "....................",
                share < 1 ? share * 100 : 100., ctl_put_count(progress->done, done),
                ctl_put_count(progress->total, total));
    } else {
        fprintf(progress->file, " %s", ctl_put_count(progress->done, done));
    }
    fprintf(progress->file, "  %s/s", ctl_put_count((uint64_t)speed, pace));
    if (progress->total > progress->done && speed > 0)
        fprintf(progress->file, "  %.0f s left",
                (double)(progress->total - progress->done) / speed);
    /* What a longer line before has left behind is wiped out. */
    fprintf(progress->file, progress->over ? "\033[K" : "\n");
    (void)fflush(progress->file);
}

void ctl_progress_add(struct ctl_progress *progress, uint64_t count)
{
    double now_s = ctl_now_s();

    progress->done += count;
    if (progress->file != NULL &&
        now_s - progress->shown_s >= (progress->over ? SHOW_EACH_S : LINE_EACH_S)) {
        show(progress, now_s);
        progress->shown_s = now_s;
    }
    if (progress->rate > 0) {
        double early_s = progress->started_s + (double)progress->done / progress->rate - now_s;

        if (early_s > 0)
            ctl_sleep_s(progress->ctl, early_s);
    }
}

void ctl_progress_end(struct ctl_progress *progress)
{
    if (progress->file == NULL)
        return;
    show(progress, ctl_now_s());
    if (progress->over)
        fprintf(progress->file, "\n");
}
