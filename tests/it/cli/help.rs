//! `--help` of everything, completions and man pages.

use std::fmt::Write;
use std::fs;

use clap::CommandFactory;
use jwksd::cli::args::Arguments;

use super::{assert_kept, code, jwksd, stderr, stdout};

/// Every command, as its words.
fn commands(command: &clap::Command, words: &[String]) -> Vec<Vec<String>> {
    let mut all = vec![words.to_vec()];
    for command in command.get_subcommands() {
        let words: Vec<String> = words.iter().cloned().chain([command.get_name().to_owned()]).collect();
        all.extend(commands(command, &words));
    }
    all
}

#[test]
fn every_command_says_what_it_does() {
    let mut actual = String::new();
    for words in commands(&Arguments::command(), &[]) {
        let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        arguments.push("--help");
        let output = jwksd(&arguments).output().unwrap();
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
        let help: Vec<String> = stdout(&output).lines().map(|line| line.trim_end().to_owned()).collect();
        writeln!(actual, "== jwksd {}\n{}\n", arguments.join(" "), help.join("\n")).unwrap();
    }
    assert_kept("help.txt", &actual);
}

#[test]
fn every_argument_is_explained() {
    for words in commands(&Arguments::command(), &[]) {
        let mut command = Arguments::command();
        command.build();
        let found = words.iter().try_fold(&command, |command, word| command.find_subcommand(word)).unwrap();
        assert!(found.get_about().is_some(), "{words:?}");
        for argument in found.get_arguments() {
            assert!(argument.get_help().is_some(), "{words:?} {}", argument.get_id());
        }
    }
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = jwksd(&["completions", shell]).output().unwrap();
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains("check-config"), "{shell}");
    }
    assert_eq!(code(&jwksd(&["completions", "tcsh"]).output().unwrap()), 2);
}

#[test]
fn the_man_page_holds_the_exit_codes_and_each_command_has_its_own() {
    let output = jwksd(&["man"]).output().unwrap();
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).starts_with(".ie") && stdout(&output).contains("Exit codes"));

    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    let output = jwksd(&["man", pages.to_str().unwrap()]).output().unwrap();
    assert_eq!((code(&output), stdout(&output).as_str(), stderr(&output).as_str()), (0, "", ""));
    for words in commands(&Arguments::command(), &[]) {
        let name = std::iter::once("jwksd").chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join("-");
        assert!(fs::metadata(pages.join(format!("{name}.1"))).unwrap().len() > 500, "{name}");
    }
}
