use std::fmt;

/// An ISO 639-2/T language code: three lower-case letters, `und` when unknown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    fn rubbish_is_undetermined() {
        assert_eq!(Language::from_bytes(b"e\0g"), Language::UNDETERMINED);
        assert_eq!(Language::from_bytes(b"en"), Language::UNDETERMINED);
    }
}
