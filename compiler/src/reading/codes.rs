//! The codes of files that a policy names, each with what it stands for.

sockc_grammar::codes! {
    INCLUDE_CYCLE = "E0225", "a file that includes itself";
    UNREADABLE = "E0226", "a file that cannot be read";
    UNKNOWN_BUILTIN = "E0227", "an included text that sockc does not bring";
    TOO_MANY_INCLUDES = "E0228", "more included files than a policy may have";
    LIST_LINE = "E0229", "a line of a list that is no address, prefix or range";
}
