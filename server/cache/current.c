#include "server/cache/current.h"

#include <assert.h>
#include <stddef.h>

void current_init(struct current *current)
{
    atomic_init(&current->classes, NULL);
    current->retired = NULL;
    current->readers = NULL;
    lock_init(&current->lock);
}

void current_fini(struct current *current)
{
    assert(current->readers == NULL);
    classes_free(current->retired);
    classes_free(atomic_load(&current->classes));
    lock_fini(&current->lock);
}

void current_join(struct current *current, struct current_reader *reader)
{
    atomic_init(&reader->held, NULL);
    lock_take(&current->lock);
    reader->next = current->readers;
    current->readers = reader;
    lock_give(&current->lock);
}

void current_leave(struct current *current, struct current_reader *reader)
{
    lock_take(&current->lock);
    struct current_reader **link = &current->readers;
    while (*link != reader)
        link = &(*link)->next;
    *link = reader->next;
    lock_give(&current->lock);
}

/* Said first, then looked at again: either the publisher sees what is held, or the reader sees that
 * something else was published. */
const struct classes *current_hold(struct current *current, struct current_reader *reader)
{
    struct classes *classes = atomic_load_explicit(&current->classes, memory_order_acquire);
    for (;;) {
        atomic_store(&reader->held, classes);
        struct classes *again = atomic_load(&current->classes);
        if (again == classes)
            return classes;
        classes = again;
    }
}

void current_release(struct current_reader *reader)
{
    atomic_store_explicit(&reader->held, NULL, memory_order_release);
}

const struct classes *current_classes(const struct current *current)
{
    return atomic_load_explicit(&current->classes, memory_order_relaxed);
}

bool current_settled(const struct current *current)
{
    return current->retired == NULL;
}

void current_publish(struct current *current, struct classes *classes)
{
    assert(current_settled(current));
    current->retired = atomic_exchange(&current->classes, classes);
}

void current_tidy(struct current *current)
{
    bool held = false;
    if (current->retired == NULL)
        return;
    lock_take(&current->lock);
    for (struct current_reader *reader = current->readers; reader != NULL; reader = reader->next)
        held = held || atomic_load(&reader->held) == current->retired;
    lock_give(&current->lock);
    if (held)
        return;
    classes_free(current->retired);
    current->retired = NULL;
}
