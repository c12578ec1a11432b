//! What the countersign binaries share: flags, exit codes, output, progress, hints
