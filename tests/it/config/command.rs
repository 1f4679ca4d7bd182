//! `hubbub config` and the exit codes, by the real binary.

use std::process::{Command, Output};

use hubbub::config::Config;

use super::{file, load};

fn hubbub(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hubbub"))
        .args(arguments)
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn check_prints_what_a_node_would_run_with() {
    let settings = file("[node]\nid = \"one\"\n");
    let path = settings.path().to_str().expect("UTF-8");
    let env = [
        ("DATABASE_URL", "postgres://hubbub:secret@db/hubbub"),
        ("HUBBUB__HTTP__BIND", "0.0.0.0:80"),
        ("REDIS_URL", "redis://:secret@r"),
    ];
    let output = hubbub(&["config", "check", "--config", path], &env);
    assert_eq!(output.status.code(), Some(0));
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    for line in [
        "url = \"postgres://hubbub:***@db/hubbub\"  # from the environment variable DATABASE_URL",
        "url = \"redis://:***@r\"  # from the environment variable REDIS_URL",
        "bind = \"0.0.0.0:80\"  # from the environment variable HUBBUB__HTTP__BIND",
        &format!("id = \"one\"  # from the file {path}"),
        "backlog = 2048",
        "[database.embedded]",
    ] {
        assert!(
            stdout.lines().any(|found| found == line),
            "{line}\n{stdout}"
        );
    }
    assert!(!stdout.contains("secret") && !stderr.contains("secret"));

    // What is printed is a file that is accepted, but for the hidden password.
    let again = file(stdout);
    Config::from_sources(Some(again.path()), std::iter::empty()).expect("accepted");
}

#[test]
fn the_defaults_can_be_printed_and_used_as_a_file() {
    let output = hubbub(&["config", "defaults"], &[]);
    assert_eq!(output.status.code(), Some(0));
    load(text(&output.stdout), &[]).expect("accepted");
}

#[test]
fn exit_codes_tell_settings_from_other_errors() {
    let unreadable = ["--config", "/nonexistent/hubbub.toml", "serve"];
    let none: &[(&str, &str)] = &[];
    for (arguments, env, said) in [
        (
            &["config", "check"][..],
            &[("HUBBUB__HTTP__BND", "x")][..],
            "http.bnd",
        ),
        (&["serve"], &[("HUBBUB__HTTP__BIND", "x")], "http.bind"),
        (
            &["migrate"],
            &[("HUBBUB__TELEMETRY__LOG", "a=b")],
            "telemetry.log",
        ),
        (&unreadable, none, "because: No such file"),
        (&["srve"], none, "'serve'"),
        (&[], none, "Usage: hubbub"),
    ] {
        let output = hubbub(arguments, env);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
    let help = hubbub(&["--help"], &[]);
    assert_eq!(help.status.code(), Some(0));
    for name in [
        "serve",
        "migrate",
        "config",
        "DATABASE_URL",
        "HUBBUB__DATA_DIR",
    ] {
        assert!(text(&help.stdout).contains(name), "{name}");
    }
}
