/*
 * load_options.h - the options of zbload, for the program, its help and its manual.
 *
 * Threads: constant data.
 */
#ifndef CLIENTS_LOAD_OPTIONS_H
#define CLIENTS_LOAD_OPTIONS_H

#include "clients/options.h"

/* They fill in a struct load_plan. */
extern const struct options_table LOAD_OPTIONS;

#endif
