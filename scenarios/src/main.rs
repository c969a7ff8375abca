//! The `unplug` command: hands the arguments and the terminal to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    unplug::cli::main(std::env::args_os(), &mut std::io::stdout(), &mut std::io::stderr())
}
