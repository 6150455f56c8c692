use std::fmt;

/// An ISO 639-2/T language code: three lower-case letters, `und` when unknown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Language([u8; 3]);

impl Language {
    /// The code for an undetermined language.
    pub const UNDETERMINED: Self = Self(*b"und");

    /// Reads a code such as `eng` or `ENG`; anything but three ASCII letters is `und`.
    #[must_use]
    pub fn from_bytes(code: &[u8]) -> Self {
        match code {
            [a, b, c] if [a, b, c].iter().all(|l| l.is_ascii_alphabetic()) => Self([
                a.to_ascii_lowercase(),
                b.to_ascii_lowercase(),
                c.to_ascii_lowercase(),
            ]),
            _ => Self::UNDETERMINED,
        }
    }

    /// Reads a language tag such as `en`, `en-GB` or `deu` (RFC 5646), as far as it is known.
    #[must_use]
    pub fn from_tag(tag: &str) -> Self {
        let base = tag.split(['-', '_']).next().unwrap_or_default();
        let two = base.to_ascii_lowercase();
        let known = TWO_LETTERS.iter().find(|(code, _)| *code == two);
        Self::from_bytes(known.map_or(base, |(_, code)| code).as_bytes())
    }

    /// The three letters.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 3] {
        &self.0
    }

    /// The three letters as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("und")
    }

    /// The `mdhd` form: three five-bit letters, each less 0x60 (ISO/IEC 14496-12, 8.4.2.3).
    #[must_use]
    pub fn packed(&self) -> u16 {
        self.0
            .iter()
            .fold(0, |code, letter| (code << 5) | u16::from(letter & 0x1f))
    }
}

/// ISO 639-1 codes and their ISO 639-2/T ones: the languages that streams are in.
#[rustfmt::skip]
const TWO_LETTERS: [(&str, &str); 76] = [
    ("af", "afr"), ("am", "amh"), ("ar", "ara"), ("az", "aze"), ("be", "bel"), ("bg", "bul"),
    ("bn", "ben"), ("bs", "bos"), ("ca", "cat"), ("cs", "ces"), ("cy", "cym"), ("da", "dan"),
    ("de", "deu"), ("el", "ell"), ("en", "eng"), ("es", "spa"), ("et", "est"), ("eu", "eus"),
    ("fa", "fas"), ("fi", "fin"), ("fr", "fra"), ("ga", "gle"), ("gl", "glg"), ("gu", "guj"),
    ("he", "heb"), ("hi", "hin"), ("hr", "hrv"), ("hu", "hun"), ("hy", "hye"), ("id", "ind"),
    ("is", "isl"), ("it", "ita"), ("ja", "jpn"), ("ka", "kat"), ("kk", "kaz"), ("km", "khm"),
    ("kn", "kan"), ("ko", "kor"), ("ku", "kur"), ("ky", "kir"), ("lo", "lao"), ("lt", "lit"),
    ("lv", "lav"), ("mk", "mkd"), ("ml", "mal"), ("mn", "mon"), ("mr", "mar"), ("ms", "msa"),
    ("my", "mya"), ("nb", "nob"), ("ne", "nep"), ("nl", "nld"), ("nn", "nno"), ("no", "nor"),
    ("pa", "pan"), ("pl", "pol"), ("ps", "pus"), ("pt", "por"), ("ro", "ron"), ("ru", "rus"),
    ("si", "sin"), ("sk", "slk"), ("sl", "slv"), ("sq", "sqi"), ("sr", "srp"), ("sv", "swe"),
    ("sw", "swa"), ("ta", "tam"), ("te", "tel"), ("th", "tha"), ("tr", "tur"), ("uk", "ukr"),
    ("ur", "urd"), ("uz", "uzb"), ("vi", "vie"), ("zh", "zho"),
];

impl Default for Language {
    fn default() -> Self {
        Self::UNDETERMINED
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Language({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_as_mdhd_does() {
        assert_eq!(Language::from_bytes(b"und").packed(), 0x55c4);
        assert_eq!(Language::from_bytes(b"ENG").packed(), 0x15c7);
    }

    #[test]
    fn tags_have_two_letters_or_three() {
        for (tag, code) in [
            ("en", "eng"),
            ("pt-BR", "por"),
            ("DE", "deu"),
            ("fil", "fil"),
        ] {
            assert_eq!(Language::from_tag(tag).as_str(), code);
        }
        assert_eq!(Language::from_tag(""), Language::UNDETERMINED);
    }

    #[test]
    fn rubbish_is_undetermined() {
        assert_eq!(Language::from_bytes(b"e\0g"), Language::UNDETERMINED);
        assert_eq!(Language::from_bytes(b"en"), Language::UNDETERMINED);
    }
}
