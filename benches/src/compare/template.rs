//! Commands with words in braces that stand for an input or an output.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::process::Command;

/// The words that can stand in braces.
pub(super) const WORDS: [&str; 9] = [
    "playlist", "out", "segments", "concat", "list", "step", "seconds", "clipmill", "bench",
];

/// What stands for each word; several arguments for `segments`.
pub(super) type Values = BTreeMap<&'static str, Vec<OsString>>;

/// A command line. It is started without a shell where it needs none, so that nobody pays for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
}

impl Template {
    /// Reads one.
    ///
    /// # Errors
    /// A sentence, when it uses an unknown word or has no place for the output.
    pub fn new(text: &str) -> Result<Self, String> {
        let template = Self {
            text: text.trim().to_owned(),
        };
        for word in template.braced() {
            if !WORDS.contains(&word) {
                return Err(format!("{{{word}}} is none of {{{}}}", WORDS.join("}, {")));
            }
        }
        if !template.uses("out") {
            return Err("{out} is missing: where the output goes".to_owned());
        }
        Ok(template)
    }

    /// `name=command`.
    ///
    /// # Errors
    /// A sentence.
    pub fn named(text: &str) -> Result<(String, Self), String> {
        let (name, command) = text
            .split_once('=')
            .filter(|(name, _)| !name.trim().is_empty())
            .ok_or("a program is given as 'name=command {playlist} {out}'")?;
        Ok((name.trim().to_owned(), Self::new(command)?))
    }

    fn braced(&self) -> impl Iterator<Item = &str> {
        let opened = self.text.split('{').skip(1);
        opened.filter_map(|rest| Some(rest.split_once('}')?.0))
    }

    /// Whether it uses a word.
    #[must_use]
    pub fn uses(&self, word: &str) -> bool {
        self.braced().any(|used| used == word)
    }

    /// The program that it begins with.
    #[must_use]
    pub fn program(&self) -> &str {
        self.text.split_whitespace().next().unwrap_or_default()
    }

    /// For people: with the words in their braces.
    #[must_use]
    pub fn shown(&self) -> String {
        self.text.clone()
    }

    fn needs_shell(&self) -> bool {
        self.text
            .contains(['&', '|', '<', '>', ';', '$', '`', '"', '\'', '(', '*', '\\'])
    }

    /// With everything in its place.
    pub(super) fn command(&self, values: &Values) -> Command {
        if self.needs_shell() {
            let mut command = Command::new("sh");
            command.arg("-c").arg(self.filled(values));
            return command;
        }
        let mut args = self.text.split_whitespace().flat_map(|arg| {
            let all = arg
                .strip_prefix('{')
                .and_then(|word| word.strip_suffix('}'));
            match all.and_then(|word| values.get(word)) {
                Some(several) => several.clone(),
                None => vec![fill(arg, values, OsStr::to_owned)],
            }
        });
        let mut command = Command::new(args.next().unwrap_or_default());
        command.args(args);
        command
    }

    /// As text for a shell.
    fn filled(&self, values: &Values) -> OsString {
        fill(&self.text, values, quoted)
    }
}

fn fill(text: &str, values: &Values, write: impl Fn(&OsStr) -> OsString) -> OsString {
    let mut filled = OsString::new();
    let mut rest = text;
    while let Some((before, opened)) = rest.split_once('{') {
        filled.push(before);
        let known = opened
            .split_once('}')
            .and_then(|(word, after)| Some((values.get(word)?, after)));
        if let Some((several, after)) = known {
            for (n, value) in several.iter().enumerate() {
                if n > 0 {
                    filled.push(" ");
                }
                filled.push(write(value));
            }
            rest = after;
        } else {
            filled.push("{");
            rest = opened;
        }
    }
    filled.push(rest);
    filled
}

/// In single quotes, where a shell would see something in it.
fn quoted(value: &OsStr) -> OsString {
    let Some(text) = value.to_str() else {
        return value.to_owned();
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return value.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let one = |text: &str| vec![OsString::from(text)];
        [
            ("out", one("/a folder/o'ut.mp4")),
            ("playlist", one("/in/index.m3u8")),
            ("segments", vec!["0.ts".into(), "1.ts".into()]),
        ]
        .into_iter()
        .collect()
    }

    fn args(text: &str) -> Vec<String> {
        let command = Template::new(text).unwrap().command(&values());
        let args = command.get_args().map(OsStr::to_string_lossy);
        std::iter::once(command.get_program().to_string_lossy())
            .chain(args)
            .map(Into::into)
            .collect()
    }

    #[test]
    fn a_plain_command_needs_no_shell_and_no_quotes() {
        assert_eq!(
            args("join -o {out} {segments} x={playlist} a!b"),
            [
                "join",
                "-o",
                "/a folder/o'ut.mp4",
                "0.ts",
                "1.ts",
                "x=/in/index.m3u8",
                "a!b"
            ]
        );
    }

    #[test]
    fn a_shell_gets_quoted_paths() {
        assert_eq!(
            args("cat {segments} > {out}"),
            ["sh", "-c", r"cat 0.ts 1.ts > '/a folder/o'\''ut.mp4'"]
        );
    }

    #[test]
    fn templates_are_checked_when_they_are_given() {
        assert!(Template::new("x {playlist}").is_err());
        assert!(Template::new("x {nothing} {out}").is_err());
        let (name, template) = Template::named("mine = tool -i {playlist} --x=1 {out}").unwrap();
        assert_eq!(name, "mine");
        assert_eq!(template.program(), "tool");
        assert!(template.uses("playlist") && !template.uses("concat"));
        assert!(Template::named("tool {out}").is_err());
        assert!(Template::named("=tool {out}").is_err());
    }
}
