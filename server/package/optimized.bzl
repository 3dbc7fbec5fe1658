"""Programs as they are packaged: built with -c opt, whatever the rest is built with."""

def _opt(settings, attr):
    return {"//command_line_option:compilation_mode": "opt"}

_transition = transition(
    implementation = _opt,
    inputs = [],
    outputs = ["//command_line_option:compilation_mode"],
)

def _optimized(ctx):
    return [DefaultInfo(files = depset(ctx.files.programs))]

optimized = rule(
    implementation = _optimized,
    attrs = {
        "programs": attr.label_list(cfg = _transition),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
)
