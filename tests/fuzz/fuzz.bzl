"""A fuzz target and the replay of its corpus.

NAME_fuzz is a libFuzzer program, to be built with --config=fuzz; NAME_corpus_test plays the files
of NAME_corpus at the same function, in every build. tests/run finds targets by their corpora.
"""

load("//.bazel:copts.bzl", "COPTS")

def fuzz_target(name, deps, srcs = [], data = [], size = "small"):
    target = [name + "_fuzz.c"] + srcs
    native.cc_binary(
        name = name + "_fuzz",
        testonly = True,
        srcs = target,
        copts = COPTS,
        data = data,
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],
        deps = deps,
    )
    native.cc_test(
        name = name + "_corpus_test",
        size = size,
        srcs = target + ["replay.c"],
        args = ["tests/fuzz/%s_corpus" % name],
        copts = COPTS,
        data = data + native.glob([name + "_corpus/*"]),
        deps = deps,
    )
