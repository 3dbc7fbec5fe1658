/*
 * thread.h - how the server's threads begin: with a small stack, which counts as memory of the
 * process (footprint.h).
 */
#ifndef SERVER_THREAD_H
#define SERVER_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/** thread_start() - calls run(context) in a thread with a stack of LIMITS_STACK_BYTES, which the
 * caller joins. False where the system has no room for one: nothing was started. */
bool thread_start(pthread_t *thread, void *(*run)(void *context), void *context)
    __attribute__((warn_unused_result));

/** thread_set_name() - what "top -H" and perf call the thread that calls; at most 15 bytes. */
void thread_set_name(const char *name);

#endif
