/*
 * poison.h - tells AddressSanitizer which bytes nobody may touch. Nothing in other builds.
 *
 * The sanitizer keeps one shadow byte for 8 bytes, and can say only "the first n of these 8 may be
 * touched". So poison that would end inside such a granule whose later bytes live stays away from
 * it: up to 7 free bytes in front of live ones can be touched unnoticed, never a live one refused.
 * That is the mirrored side of a page; behind live bytes the border is exact.
 */
#ifndef ZBUD_POISON_H
#define ZBUD_POISON_H

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define ZBUD_POISONS 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define ZBUD_POISONS 1
#endif
#ifndef ZBUD_POISONS
#define ZBUD_POISONS 0
#endif

#if ZBUD_POISONS
#include <sanitizer/asan_interface.h>
#define POISON_FREE(bytes_at, bytes) ASAN_POISON_MEMORY_REGION((bytes_at), (bytes))
#define POISON_LIVE(bytes_at, bytes) ASAN_UNPOISON_MEMORY_REGION((bytes_at), (bytes))
#else
#define POISON_FREE(bytes_at, bytes) ((void)(bytes_at), (void)(bytes))
#define POISON_LIVE(bytes_at, bytes) ((void)(bytes_at), (void)(bytes))
#endif

/* Whole-structure checks after each operation: switched on by the sanitizer builds. */
#ifndef ZB_SLOW_CHECKS
#define ZB_SLOW_CHECKS 0
#endif

#endif
