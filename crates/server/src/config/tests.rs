use super::*;

fn fault(text: &str) -> String {
    Settings::from_toml(text).unwrap_err().to_string()
}

#[test]
fn one_flag_is_enough() {
    let flags = Flags {
        apps: vec!["live=/srv/streams".into()],
        ..Flags::default()
    };
    let settings = Settings::load(&flags, &Variables::new()).unwrap();
    assert_eq!(settings.listen, "127.0.0.1:5080");
    assert_eq!(settings.public_base_url, "http://127.0.0.1:5080");
    let app = settings.app("live").unwrap();
    assert_eq!(**app, AppSettings::new("live", Path::new("/srv/streams")));
    assert_eq!(app.interval, Duration::from_secs(600));
    assert!(app.enabled && !app.delete_hls_after_clip);
}

#[test]
fn the_whole_file_is_understood() {
    let settings = Settings::from_toml(
        r#"
        listen = "0.0.0.0:80"
        data_dir = "/var/lib/clipmill"
        public_base_url = "https://clips.example/"
        [[app]]
        name = "live"
        streams_dir = "/streams"
        clips_dir = "/clips"
        enabled = false
        interval_seconds = 60
        delete_hls_after_clip = true
        max_clip_seconds = 3600
        listener_hook_url = "http://hooks.example/x"
        webhook_content_type = "application/x-www-form-urlencoded"
        webhook_secret = "s"
        webhook_timeout = "2s"
        webhook_max_age = "1h"
        jwt_secret = "j"
        allow_private_addresses = true
        segment_patience = "500ms"
        upload_max_bytes = "3MB"
        align = true
        spool_max_bytes = "3GB"
        retention = { max_age = "30d", max_bytes = "500GB", min_free = "20GB" }
        "#,
    )
    .unwrap();
    assert_eq!(settings.public_base_url, "https://clips.example");
    let app = settings.app("live").unwrap();
    assert_eq!(app.webhook_content_type, WebhookContentType::Form);
    assert_eq!(app.webhook_timeout, Duration::from_secs(2));
    assert_eq!(app.retention.max_bytes, Some(500_000_000_000));
    assert_eq!(app.retention.min_free, Some(20_000_000_000));
    assert!(app.align);
    assert_eq!(app.spool_max_bytes, Some(3_000_000_000));
    assert_eq!(app.interval, Duration::from_secs(60));
    assert_eq!(app.reach, Reach::Anywhere);
    assert_eq!(app.segment_patience, Duration::from_millis(500));
    assert_eq!(app.upload_max_bytes, 3_000_000);
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    let text = "listen = \"127.0.0.1:1\"\ndata_dir = \"file\"\n\
                [[app]]\nname = \"live\"\nstreams_dir = \"/a\"\ninterval_seconds = 5\n";
    std::fs::write(&path, text).unwrap();
    let variables: Variables = [
        ("CLIPMILL_LISTEN", "127.0.0.1:2"),
        ("CLIPMILL_DATA_DIR", "variable"),
        ("CLIPMILL_INTERVAL", "1m"),
        ("CLIPMILL_JWT_SECRET", "secret"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let flags = Flags {
        config: Some(path),
        listen: Some("127.0.0.1:3".into()),
        apps: vec!["live=/b".into(), "more=/c".into()],
        ..Flags::default()
    };
    let settings = Settings::load(&flags, &variables).unwrap();
    assert_eq!(settings.listen, "127.0.0.1:3");
    assert_eq!(settings.data_dir, Path::new("variable"));
    let live = settings.app("live").unwrap();
    assert_eq!(live.interval, Duration::from_secs(60));
    assert_eq!(live.jwt_secret.as_deref(), Some("secret"));
    assert_eq!(live.streams_dir, Path::new("/b"));
    assert!(settings.app("more").is_some());
}

#[test]
fn variables_and_flags_hold_for_every_application_however_it_is_named() {
    let variables: Variables = [
        ("CLIPMILL_APP", "one=/1, two=/2"),
        ("CLIPMILL_JWT_SECRET", "secret"),
        ("CLIPMILL_ENABLED", "no"),
        ("CLIPMILL_RETENTION_MAX_AGE", "7d"),
        ("CLIPMILL_RETENTION_MAX_BYTES", "1GB"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let flags = Flags {
        apps: vec!["three=/3".into()],
        interval: Some(Duration::from_secs(90)),
        ..Flags::default()
    };
    let settings = Settings::load(&flags, &variables).unwrap();
    let names: Vec<_> = settings.apps.iter().map(|app| app.name.as_str()).collect();
    assert_eq!(names, ["one", "two", "three"]);
    for app in &settings.apps {
        assert_eq!(app.jwt_secret.as_deref(), Some("secret"));
        assert_eq!(app.interval, Duration::from_secs(90));
        assert_eq!(app.retention.max_age, Some(Duration::from_secs(604_800)));
        assert_eq!(app.retention.max_bytes, Some(1_000_000_000));
        assert!(!app.enabled);
    }
}

#[test]
fn a_fault_names_the_variable_or_the_flag_that_it_comes_from() {
    let found = |flags: Flags, variable: Option<(&str, &str)>| {
        let flags = Flags {
            apps: vec!["live=/a".into()],
            ..flags
        };
        let variables = variable.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables = variables.into_iter().collect();
        let fault = Settings::load(&flags, &variables).unwrap_err();
        fault.to_string()
    };
    for (name, value, expected) in [
        ("CLIPMILL_LISTEN", "here", "`here` is not HOST:PORT"),
        (
            "CLIPMILL_ENABLED",
            "maybe",
            "`maybe` is neither true nor false",
        ),
        (
            "CLIPMILL_INTERVAL",
            "0",
            "`0` is not a whole number from 1 up",
        ),
        (
            "CLIPMILL_RETENTION_MAX_AGE",
            "soon",
            "`soon` is not a length of time such as 30d, 24h, 1h30m or 500ms",
        ),
        ("CLIPMILL_APP", "live", "`live` is not NAME=STREAMS_DIR"),
    ] {
        let found = found(Flags::default(), Some((name, value)));
        assert_eq!(found, format!("{name}: {expected}"));
    }
    let flags = Flags {
        public_base_url: Some("ftp://x".into()),
        ..Flags::default()
    };
    assert_eq!(
        found(flags, None),
        "--public-base-url: `ftp://x` is not an http(s) address"
    );
    let reserved = Flags {
        apps: vec!["metrics=/a".into()],
        ..Flags::default()
    };
    let found = Settings::load(&reserved, &Variables::new()).unwrap_err();
    assert!(
        found
            .to_string()
            .starts_with("--app: application `metrics`"),
        "{found}"
    );
}

#[test]
fn faults_are_one_line_that_says_where() {
    let app = "[[app]]\nname = \"live\"\nstreams_dir = \"/a\"\n";
    let found = fault(&format!("lisen = \"x\"\n{app}"));
    assert_eq!(
        found,
        "clipmill.toml:1: unknown key `lisen`; did you mean `listen`?"
    );
    let found = fault(&format!("{app}interval_second = 5\n"));
    assert_eq!(
        found,
        "clipmill.toml:4: unknown key `interval_second`; did you mean `interval_seconds`?"
    );
    let found = fault(&format!("{app}retention = {{ max_bites = \"1GB\" }}\n"));
    assert!(
        found.starts_with("clipmill.toml:4: unknown key `max_bites`"),
        "{found}"
    );
    for bad in [
        "5080",
        "here",
        ":5080",
        "a:b",
        "127.0.0.1:99999",
        "::1:80",
        "http://a:1",
    ] {
        let found = fault(&format!("\nlisten = \"{bad}\"\n{app}"));
        let expected = format!("clipmill.toml:2: `{bad}` is not HOST:PORT");
        assert_eq!(found, expected);
    }
    for good in ["localhost:5080", "0.0.0.0:0", "[::1]:80"] {
        let settings = Settings::from_toml(&format!("listen = \"{good}\"\n{app}"));
        assert_eq!(settings.unwrap().listen, good);
    }
    let found = fault(&format!("{app}listen = \"x\"\n"));
    assert!(found.contains("belongs to the top level"), "{found}");
    let found = fault(&format!("{app}interval_seconds = 0\n"));
    assert!(found.starts_with("clipmill.toml:4: "), "{found}");
    let found = fault(&format!("{app}interval_seconds = -3\n"));
    assert!(found.starts_with("clipmill.toml:4: "), "{found}");
    let found = fault(&format!("{app}webhook_timeout = \"soon\"\n"));
    assert!(
        found.starts_with("clipmill.toml:4: ") && found.contains("soon"),
        "{found}"
    );
    let found = fault(&format!("{app}enabled = \"maybe\"\n"));
    assert!(found.starts_with("clipmill.toml:4: "), "{found}");
    let found = fault(&format!("{app}listener_hook_url = \"ftp://x\"\n"));
    assert!(found.starts_with("clipmill.toml:4: "), "{found}");
    let found = fault("listen = \"0.0.0.0:1\"\n[[app]]\nname = \"live\"\n");
    assert!(
        found.contains("clipmill.toml:2") && found.contains("streams_dir"),
        "{found}"
    );
    let found = fault(&format!("{app}{app}"));
    assert_eq!(found, "clipmill.toml:4: application `live` is named twice");
    for (more, shares) in [
        ("streams_dir = \"/a\"", true),
        ("streams_dir = \"/a/b/\"", true),
        ("streams_dir = \"/\"", true),
        ("streams_dir = \"/ab\"\nclips_dir = \"/a/clips\"", true),
        ("streams_dir = \"/ab\"", false),
    ] {
        let text = format!("{app}[[app]]\nname = \"more\"\n{more}\n");
        let found = Settings::from_toml(&text).map_err(|fault| fault.to_string());
        let expected = "clipmill.toml:4: application `more` shares a folder with `live`";
        assert_eq!(
            found.is_err_and(|found| found == expected),
            shares,
            "{more}"
        );
    }
    let found = fault("= 3");
    assert!(
        found.starts_with("clipmill.toml:1: ") && !found.contains('\n'),
        "{found}"
    );
    let found = fault("");
    assert!(found.contains("no application"), "{found}");
    let found = fault("[[app]]\nname = \"metrics\"\nstreams_dir = \"/a\"\n");
    assert!(found.contains("something else"), "{found}");
}

#[test]
fn an_application_of_pushed_streams_alone_has_a_folder_of_its_own() {
    let app = |text: &str| {
        let settings = Settings::from_toml(&format!("data_dir = \"/data\"\n{text}")).ok()?;
        settings.app("live").cloned()
    };
    let (open, bare) = ("listen = \"0.0.0.0:1\"\n", "[[app]]\nname = \"live\"\n");
    let token = format!("{open}{bare}ingest_token = \"s\"\n");
    for own in [bare, &token] {
        let app = app(own).unwrap();
        assert_eq!(app.streams_dir, Path::new("/data/streams/live"), "{own}");
        assert!(app.owns_streams_dir);
    }
    // Nothing could come into these.
    let never = format!("{bare}ingest_max_bytes = 0\n");
    let nobody = format!("{open}{bare}ingest_token = \"\"\n");
    assert_eq!((app(&never), app(&nobody)), (None, None));
    let said = app(&format!("{token}streams_dir = \"/a\"\n")).unwrap();
    assert!(said.streams_dir == Path::new("/a") && !said.owns_streams_dir);
}

#[test]
fn a_missing_file_is_named() {
    let flags = Flags {
        config: Some("/does/not/exist.toml".into()),
        ..Flags::default()
    };
    let found = Settings::load(&flags, &Variables::new()).unwrap_err();
    assert!(
        found.to_string().starts_with("/does/not/exist.toml: "),
        "{found}"
    );
}

#[test]
fn the_sample_has_every_key_and_says_what_holds_without_it() {
    let sample = Settings::from_toml(SAMPLE).unwrap();
    let flags = Flags {
        apps: vec!["live=/var/www/hls".into()],
        ..Flags::default()
    };
    assert_eq!(sample, Settings::load(&flags, &Variables::new()).unwrap());
    let all = SAMPLE.replace("\n# ", "\n");
    Settings::from_toml(&all).unwrap();
    for table in ["[[app]]", "[[app.pull]]"] {
        assert!(all.contains(table), "{table}");
    }
    let keys = overlay::keys().filter(|key| !["app", "pull"].contains(key));
    for key in keys {
        let line = |text: &str| text.starts_with(&format!("{key} = "));
        let nested = || all.contains(&format!("{key} = \""));
        assert!(all.lines().any(line) || nested(), "{key}");
    }
}

#[test]
fn urls_of_others_lead_to_private_addresses_only_where_the_operator_says_so() {
    let reach = |listen: &str, app: &str| {
        let app = format!("[[app]]\nname = \"a\"\nstreams_dir = \"/s\"\n{app}");
        let text = format!("listen = \"{listen}\"\n{app}");
        Settings::from_toml(&text).unwrap().apps[0].reach
    };
    for own in ["127.0.0.1:1", "[::1]:1", "localhost:1"] {
        assert_eq!(reach(own, ""), Reach::PublicAndLoopback, "{own}");
    }
    for open in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "clips.example:1"] {
        assert_eq!(reach(open, ""), Reach::Public, "{open}");
        let allowed = reach(open, "allow_private_addresses = true");
        assert_eq!(allowed, Reach::Anywhere);
    }
    let mut app = AppSettings::new("a", Path::new("/s"));
    app.reach = Reach::Public;
    app.listener_hook_url = Some("http://10.0.0.7:8080/hook".into());
    let hook = |url: &str| app.webhook_reach(&Url::parse(url).unwrap());
    assert_eq!(hook("http://10.0.0.7/other"), Reach::Anywhere);
    assert_eq!(hook("http://10.0.0.8/"), Reach::Public);
}

#[test]
fn streams_of_other_servers_are_named_with_the_application() {
    let app = "[[app]]\nname = \"live\"\n";
    let pull =
        "[[app.pull]]\nid = \"cam\"\nurl = \"https://me:s3cret@a.example/x.m3u8?k=s3cret\"\n";
    let text = format!("data_dir = \"/d\"\n{app}{pull}headers = {{ Referer = \"s3cret\" }}\n");
    let settings = Settings::from_toml(&text).unwrap();
    let app_of = settings.app("live").unwrap();
    assert_eq!(app_of.streams_dir, Path::new("/d/streams/live"));
    let cam = app_of.pulled("cam").unwrap();
    assert_eq!(cam.headers["Referer"], "s3cret");
    assert!(!format!("{settings:?}").contains("s3cret"));
    let wrong = |lines: &str| fault(&format!("{app}streams_dir = \"/a\"\n[[app.pull]]\n{lines}"));
    for (lines, says) in [
        (
            "id = \"a/b\"\nurl = \"http://a/\"\n",
            "no stream can have this id",
        ),
        (
            "id = \"cam\"\nurl = \"ftp://s3cret/\"\n",
            "not an http(s) address",
        ),
        (
            "id = \"cam\"\nurl = \"http://a/\"\nheaders = { Host = \"s3cret\" }\n",
            "`Host` cannot be set",
        ),
        (
            "id = \"cam\"\nurl = \"http://a/\"\nheaders = { X = \"s3cret\\n\" }\n",
            "`X` cannot have this value",
        ),
        (
            "id = \"cam\"\nurl = \"http://a/\"\nheader = {}\n",
            "did you mean `headers`",
        ),
    ] {
        let found = wrong(lines);
        assert!(found.contains(says) && !found.contains("s3cret"), "{found}");
    }
    let twice =
        wrong("id = \"a\"\nurl = \"http://a/\"\n[[app.pull]]\nid = \"a\"\nurl = \"http://b/\"\n");
    assert!(twice.contains("named twice"), "{twice}");
}
