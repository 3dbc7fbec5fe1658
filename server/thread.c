/* thread.c - one stack size for all of them. */
#include "server/thread.h"

#include "server/limits.h"

#include <assert.h>

bool thread_start(pthread_t *thread, void *(*run)(void *context), void *context)
{
    pthread_attr_t attributes;

    if (pthread_attr_init(&attributes) != 0) {
        return false;
    }
    const bool started = pthread_attr_setstacksize(&attributes, LIMITS_STACK_BYTES) == 0 &&
                         pthread_create(thread, &attributes, run, context) == 0;
    (void)pthread_attr_destroy(&attributes);
    return started;
}

void thread_set_name(const char *name)
{
    const int failed = pthread_setname_np(pthread_self(), name);
    assert(!failed);
}
