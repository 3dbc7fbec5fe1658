#include "server/admin/control.h"

#include "server/admin/config.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct control {
    pthread_mutex_t lock; /* guards all below */
    struct config config;
    bool crawling;
    uint64_t crawls;
};

struct control *control_new(const struct config *config)
{
    struct control *control = calloc(1, sizeof(*control));

    if (control == NULL) {
        return NULL;
    }
    control->config = *config;
    pthread_mutex_init(&control->lock, NULL);
    return control;
}

void control_free(struct control *control)
{
    if (control == NULL) {
        return;
    }
    pthread_mutex_destroy(&control->lock);
    free(control);
}

struct config *control_open(struct control *control)
{
    pthread_mutex_lock(&control->lock);
    return &control->config;
}

void control_close(struct control *control)
{
    pthread_mutex_unlock(&control->lock);
}

bool control_crawl_begin(struct control *control)
{
    pthread_mutex_lock(&control->lock);
    const bool begun = !control->crawling;
    if (begun) {
        control->crawling = true;
        control->crawls++;
    }
    pthread_mutex_unlock(&control->lock);
    return begun;
}

void control_crawl_end(struct control *control)
{
    pthread_mutex_lock(&control->lock);
    assert(control->crawling);
    control->crawling = false;
    pthread_mutex_unlock(&control->lock);
}

uint64_t control_crawl_running(struct control *control, uint64_t *starts)
{
    pthread_mutex_lock(&control->lock);
    const uint64_t running = control->crawling;
    *starts = control->crawls;
    pthread_mutex_unlock(&control->lock);
    return running;
}
