//! One feature, one file; this file is the one list.
