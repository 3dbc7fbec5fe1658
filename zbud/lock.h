/*
 * lock.h - a mutex that clang's -Wthread-safety understands.
 *
 * clang 14 checks functions, not members: a function says which lock it requires, and a member's
 * comment names the lock it lies under.
 */
#ifndef ZBUD_LOCK_H
#define ZBUD_LOCK_H

#include <assert.h>
#include <pthread.h>

#ifdef __clang__
#define ZB_CAPABILITY     __attribute__((capability("mutex")))
#define ZB_REQUIRES(...)  __attribute__((requires_capability(__VA_ARGS__)))
#define ZB_ACQUIRES(...)  __attribute__((acquire_capability(__VA_ARGS__)))
#define ZB_RELEASES(...)  __attribute__((release_capability(__VA_ARGS__)))
#define ZB_HOLDS(...)     __attribute__((assert_capability(__VA_ARGS__)))
#define ZB_LOCK_IS_INSIDE __attribute__((no_thread_safety_analysis))
#else
#define ZB_CAPABILITY
#define ZB_REQUIRES(...)
#define ZB_ACQUIRES(...)
#define ZB_RELEASES(...)
#define ZB_HOLDS(...)
#define ZB_LOCK_IS_INSIDE
#endif

struct ZB_CAPABILITY zbud_lock {
    pthread_mutex_t mutex;
};

/* What a lock guards takes a microsecond or less: who finds it taken waits a little, then sleeps.
 * A mutex fails only where it is misused, so a failure is an assert. */
static inline void lock_init(struct zbud_lock *lock)
{
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);
    assert(error == 0);
    error = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
    assert(error == 0);
    error = pthread_mutex_init(&lock->mutex, &attributes);
    assert(error == 0);
    (void)error;
    (void)pthread_mutexattr_destroy(&attributes);
}

static inline void lock_fini(struct zbud_lock *lock)
{
    int error = pthread_mutex_destroy(&lock->mutex);
    assert(error == 0);
    (void)error;
}

static inline void lock_take(struct zbud_lock *lock) ZB_ACQUIRES(lock) ZB_LOCK_IS_INSIDE
{
    int error = pthread_mutex_lock(&lock->mutex);
    assert(error == 0);
    (void)error;
}

static inline void lock_give(struct zbud_lock *lock) ZB_RELEASES(lock) ZB_LOCK_IS_INSIDE
{
    int error = pthread_mutex_unlock(&lock->mutex);
    assert(error == 0);
    (void)error;
}

/* For a callback that is only ever called under the lock: the compiler cannot see that. */
static inline void lock_is_held(const struct zbud_lock *lock) ZB_HOLDS(lock) ZB_LOCK_IS_INSIDE
{
    (void)lock;
}

#endif
