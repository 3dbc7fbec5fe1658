/*
 * instrumented.h - whether a sanitizer is built in, by gcc or by clang.
 *
 * Its shadows and the freed memory it holds back are resident too, so RSS says nothing about the
 * program then; and all takes several times as long. server/footprint.c finds it out for itself, as
 * nothing of the server's stands on a test's header.
 */
#ifndef TESTS_INSTRUMENTED_H
#define TESTS_INSTRUMENTED_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define INSTRUMENTED 1
#endif
#endif
#ifndef INSTRUMENTED
#define INSTRUMENTED 0
#endif

/* The one that looks at what threads do to each other: where there is one client at a time it has
 * little to see. */
#if defined(__SANITIZE_THREAD__)
#define THREADS_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREADS_WATCHED 1
#endif
#endif
#ifndef THREADS_WATCHED
#define THREADS_WATCHED 0
#endif

#endif
