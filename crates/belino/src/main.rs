//! `belino`: the program.

use std::process::ExitCode;

fn main() -> ExitCode {
    belino::cli::main()
}
