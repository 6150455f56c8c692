//! Segments that are encrypted whole, AES-CBC with PKCS#7 padding (RFC 8216, 4.3.2.4 and 5.2;
//! rfc8216bis adds keys of 256 bits), and segments whose samples are (`SAMPLE-AES`).
//!
//! Keys are never shown: not in messages, not by `Debug`.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use aes::{Aes128, Aes256};
use bytes::{Bytes, BytesMut};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{Block, BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use clipmill_media::Limits;
use clipmill_playlist::{Key, KeyMethod, Location, LocationError};
use clipmill_ts::{SampleCipher, decrypt_samples};

use crate::error::{DecryptError, SegmentError};
use crate::named::{file_name, locate};
use crate::source::SegmentSource;

/// Bytes that nobody is to see.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Where the key of a segment is, before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyPlace {
    at: At,
    method: Method,
    iv: [u8; 16],
}

/// What is encrypted, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// `AES-128`: everything.
    Whole128,
    /// `AES-256`: everything.
    Whole256,
    /// `SAMPLE-AES`: parts of the samples.
    Samples,
}

impl Method {
    fn key_len(self) -> usize {
        match self {
            Self::Whole128 | Self::Samples => 16,
            Self::Whole256 => 32,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Location(Location),
    /// In the playlist itself.
    Data(Secret),
}

/// A key that cannot be used.
#[derive(Debug, Clone)]
pub(crate) enum NoKey {
    /// What it would need, in words.
    Unsupported(String),
    Location(LocationError),
}

impl From<NoKey> for SegmentError {
    fn from(why: NoKey) -> Self {
        match why {
            NoKey::Unsupported(what) => Self::Unsupported(what),
            NoKey::Location(error) => error.into(),
        }
    }
}

impl KeyPlace {
    /// What `EXT-X-KEY` says of the segment with this media sequence number.
    pub(crate) fn new(
        key: &Key,
        sequence: u64,
        base: &Location,
        allow_outside: bool,
    ) -> Result<Self, NoKey> {
        if !key.is_identity() {
            let drm = match key.format.as_str() {
                "com.apple.streamingkeydelivery" => "FairPlay",
                "com.microsoft.playready" => "PlayReady",
                "urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed" => "Widevine",
                _ => "a key system",
            };
            let what = format!("DRM by {drm} (EXT-X-KEY KEYFORMAT={:?})", key.format);
            return Err(NoKey::Unsupported(what));
        }
        let method = match &key.method {
            KeyMethod::Aes128 => Method::Whole128,
            KeyMethod::SampleAes => Method::Samples,
            KeyMethod::Other(name) if name == "AES-256" => Method::Whole256,
            method => {
                let what = format!("encryption (EXT-X-KEY METHOD={method})");
                return Err(NoKey::Unsupported(what));
            }
        };
        let Some(uri) = &key.uri else {
            let what = "an EXT-X-KEY without a URI".to_owned();
            return Err(NoKey::Unsupported(what));
        };
        let data = uri.get(..5).filter(|s| s.eq_ignore_ascii_case("data:"));
        let at = if data.is_some() {
            // What cannot be read is found out with the segment that needs it.
            At::Data(Secret(data_uri(uri).unwrap_or_default()))
        } else {
            let location = locate(base, uri, allow_outside).map_err(NoKey::Location)?;
            At::Location(location)
        };
        Ok(Self {
            at,
            method,
            iv: key.iv_for(sequence),
        })
    }
}

/// The key of a segment, and the initialization vector. It stays in memory, and unseen.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentKey {
    /// Where it was found, for messages.
    name: String,
    method: Method,
    key: Secret,
    iv: [u8; 16],
}

impl SegmentKey {
    /// The message of a segment that decrypts to nothing of use.
    pub(crate) fn wrong(&self) -> DecryptError {
        DecryptError::WrongKey {
            key: self.name.clone(),
        }
    }

    /// Decrypts a segment, in place where nobody else holds its bytes.
    ///
    /// Where samples are encrypted, what comes out is as long, and an ordinary segment. Of fragmented
    /// MP4 it is the segment itself that says so (Common Encryption): it stays as it is.
    ///
    /// # Errors
    /// When it is no whole number of blocks, or what comes out shows that the key is wrong.
    pub fn decrypt(&self, segment: Bytes) -> Result<Bytes, DecryptError> {
        let len = segment.len();
        let whole = self.method != Method::Samples;
        if whole && (len == 0 || !len.is_multiple_of(16)) {
            return Err(DecryptError::Length { len });
        }
        let mut bytes = segment
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        let (key, iv) = (&self.key.0, &self.iv);
        let plain = match self.method {
            Method::Whole128 => {
                let cipher = Decryptor::<Aes128>::new_from_slices(key, iv).ok();
                cipher.and_then(|c| Some(c.decrypt_padded::<Pkcs7>(&mut bytes).ok()?.len()))
            }
            Method::Whole256 => {
                let cipher = Decryptor::<Aes256>::new_from_slices(key, iv).ok();
                cipher.and_then(|c| Some(c.decrypt_padded::<Pkcs7>(&mut bytes).ok()?.len()))
            }
            Method::Samples => {
                let mut cipher = Chain::new(key, iv).ok_or_else(|| self.wrong())?;
                let evidence = decrypt_samples(&mut bytes, &mut cipher);
                if evidence.no_map {
                    return Err(DecryptError::NoProgramMap);
                }
                (!evidence.speaks_against_key()).then_some(len)
            }
        };
        bytes.truncate(plain.ok_or_else(|| self.wrong())?);
        Ok(bytes.freeze())
    }
}

/// AES-128-CBC, block by block, from the initialization vector on as often as needed.
struct Chain {
    cipher: Aes128,
    iv: [u8; 16],
    last: [u8; 16],
}

impl Chain {
    fn new(key: &[u8], iv: &[u8; 16]) -> Option<Self> {
        Some(Self {
            cipher: Aes128::new_from_slice(key).ok()?,
            iv: *iv,
            last: *iv,
        })
    }
}

impl SampleCipher for Chain {
    fn restart(&mut self) {
        self.last = self.iv;
    }

    fn decrypt(&mut self, block: &mut [u8; 16]) {
        let ciphertext = *block;
        let mut plain: Block<Aes128> = ciphertext.into();
        self.cipher.decrypt_block(&mut plain);
        for ((out, plain), last) in block.iter_mut().zip(plain).zip(self.last) {
            *out = plain ^ last;
        }
        self.last = ciphertext;
    }
}

/// Keys that have been read.
#[derive(Debug)]
pub(crate) struct KeyRing {
    /// Where keys are looked for first.
    folder: Option<PathBuf>,
    keys: HashMap<Location, Secret>,
    /// More bytes than any key has: what is larger is something else, an error page for one.
    limit: u64,
}

/// Keys kept at once; a stream changes them every few minutes.
const KEPT: usize = 64;

impl KeyRing {
    /// One that looks for keys in a folder first, by the last part of their URI.
    pub(crate) fn of(folder: Option<&Path>, limits: &Limits) -> Self {
        Self {
            folder: folder.map(Path::to_owned),
            keys: HashMap::new(),
            limit: limits.key_bytes,
        }
    }

    /// The key of this name in the folder: its bytes, or as many hexadecimal digits as they need.
    fn at_hand(&self, location: &Location, len: usize) -> Option<Vec<u8>> {
        let folder = self.folder.as_ref()?;
        let path = folder.join(file_name(location));
        let metadata = std::fs::metadata(&path).ok()?;
        if !metadata.is_file() || metadata.len() > self.limit {
            return None;
        }
        let bytes = std::fs::read(&path).ok()?;
        let text = bytes.trim_ascii();
        if bytes.len() == len || text.len() != 2 * len {
            return Some(bytes);
        }
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let pairs = text.chunks_exact(2).map(|pair| match pair {
            [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
            _ => None,
        });
        Some(pairs.collect::<Option<_>>().unwrap_or(bytes))
    }

    /// Reads a key, unless it was read before.
    pub(crate) fn get(
        &mut self,
        source: &dyn SegmentSource,
        place: &KeyPlace,
    ) -> Result<SegmentKey, SegmentError> {
        let (name, key) = match &place.at {
            At::Data(key) if key.0.is_empty() => return Err(DecryptError::KeyData.into()),
            At::Data(key) => ("in the playlist".to_owned(), key.clone()),
            At::Location(location) => {
                let key = match self.keys.get(location) {
                    Some(key) => key.clone(),
                    None => self.fetch(source, location, place.method)?,
                };
                (location.to_string(), key)
            }
        };
        let (found, wanted) = (key.0.len(), place.method.key_len());
        if found != wanted {
            return Err(DecryptError::KeySize {
                key: name,
                found,
                wanted,
            }
            .into());
        }
        if let At::Location(location) = &place.at
            && !self.keys.contains_key(location)
        {
            if self.keys.len() >= KEPT {
                self.keys.clear();
            }
            self.keys.insert(location.clone(), key.clone());
        }
        Ok(SegmentKey {
            name,
            method: place.method,
            key,
            iv: place.iv,
        })
    }

    fn fetch(
        &self,
        source: &dyn SegmentSource,
        location: &Location,
        method: Method,
    ) -> Result<Secret, SegmentError> {
        if let Some(key) = self.at_hand(location, method.key_len()) {
            return Ok(Secret(key));
        }
        let read = source.read(location, None, self.limit);
        Ok(Secret(read.map_err(SegmentError::Key)?.to_vec()))
    }

    /// Forgets a key that did not fit, so that it is read again for the next segment: it may be put
    /// right where it lies.
    pub(crate) fn forget(&mut self, place: &KeyPlace) {
        if let At::Location(location) = &place.at {
            self.keys.remove(location);
        }
    }

    /// Reads a segment, and decrypts it with the key at a place. A key that was read earlier and does not
    /// fit is read again, once; the segment then too, where the key has become another.
    pub(crate) fn read_segment(
        &mut self,
        source: &dyn SegmentSource,
        place: &KeyPlace,
        read: impl Fn() -> Result<Bytes, SegmentError>,
    ) -> Result<(Bytes, SegmentKey), SegmentError> {
        let known = self.knows(place);
        let key = self.get(source, place)?;
        let error = match key.decrypt(read()?) {
            Ok(bytes) => return Ok((bytes, key)),
            Err(error) => error,
        };
        if !matches!(error, DecryptError::WrongKey { .. }) {
            return Err(error.into());
        }
        self.forget(place);
        if known
            && let Ok(other) = self.get(source, place)
            && other.key != key.key
        {
            let read = other.decrypt(read()?);
            if read.is_err() {
                self.forget(place);
            }
            return Ok((read?, other));
        }
        // What was read again just now is not good for the next segment either.
        self.forget(place);
        Err(error.into())
    }

    fn knows(&self, place: &KeyPlace) -> bool {
        match &place.at {
            At::Location(location) => self.keys.contains_key(location),
            At::Data(_) => false,
        }
    }
}

/// The bytes of a `data:` URI (RFC 2397).
fn data_uri(uri: &str) -> Option<Vec<u8>> {
    let (kind, data) = uri.get(5..)?.split_once(',')?;
    if kind.to_ascii_lowercase().ends_with(";base64") {
        return base64(data);
    }
    let mut bytes = Vec::new();
    let mut rest = data.as_bytes();
    while let [first, tail @ ..] = rest {
        match rest {
            [b'%', high, low, tail @ ..] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(*high)? << 4 | digit(*low)?;
                bytes.push(u8::try_from(value).ok()?);
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    Some(bytes)
}

/// RFC 4648, sections 4 and 5: both alphabets, padding or none.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        held = (held << 6 | u32::from(value)) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &[u8]) -> SegmentKey {
        SegmentKey {
            name: "k".to_owned(),
            method: if key.len() == 32 {
                Method::Whole256
            } else {
                Method::Whole128
            },
            key: Secret(key.to_vec()),
            iv: *b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f",
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<_> = text.chars().filter_map(|c| c.to_digit(16)).collect();
        digits
            .chunks(2)
            .map(|two| (two[0] * 16 + two[1]) as u8)
            .collect()
    }

    /// NIST SP 800-38A, F.2.1 and F.2.5: the first block, which is no padding.
    #[test]
    fn vectors_of_the_standard() {
        for (secret, cipher) in [
            (
                "2b7e151628aed2a6abf7158809cf4f3c",
                "7649abac8119b246cee98e9b12e9197d",
            ),
            (
                "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
                "f58c4c04d6e5f1ba779eabfb5f7bfbd6",
            ),
        ] {
            let error = key(&hex(secret)).decrypt(hex(cipher).into());
            assert_eq!(error, Err(key(&[]).wrong()), "6bc1bee2…172a is no padding");
        }
    }

    /// NIST SP 800-38A, F.2.2: two blocks, twice.
    #[test]
    fn samples_begin_with_the_vector_again() {
        let (secret, iv) = (hex("2b7e151628aed2a6abf7158809cf4f3c"), key(&[]).iv);
        let cipher = hex("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2");
        let plain = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
        let mut chain = Chain::new(&secret, &iv).unwrap();
        for _ in 0..2 {
            chain.restart();
            let mut blocks = cipher.clone();
            for block in blocks.as_chunks_mut().0 {
                chain.decrypt(block);
            }
            assert_eq!(blocks, plain);
        }
    }

    #[test]
    fn nothing_is_shown() {
        let shown = format!("{:?}", key(b"YELLOW SUBMARINE"));
        assert!(
            !shown.contains("YELLOW") && !shown.contains("89"),
            "{shown}"
        );
    }

    #[test]
    fn what_is_no_ciphertext() {
        for len in [0, 1, 15, 17] {
            let error = key(&[0; 16]).decrypt(Bytes::from(vec![0; len]));
            assert_eq!(error, Err(DecryptError::Length { len }));
        }
    }

    #[test]
    fn data_uris() {
        let read = |uri| data_uri(uri).map(|bytes| String::from_utf8(bytes).unwrap());
        let wanted = Some("YELLOW SUBMARINE".to_owned());
        assert_eq!(read("data:;base64,WUVMTE9XIFNVQk1BUklORQ=="), wanted);
        assert_eq!(
            read("DATA:text/plain;BASE64,WUVMTE9XIFNVQk1BUklORQ"),
            wanted
        );
        assert_eq!(read("data:,YELLOW%20SUBMARINE"), wanted);
        assert_eq!(read("data:;base64,%"), None);
        assert_eq!(read("data:nothing"), None);
        assert_eq!(read("data:,%zz"), None);
    }
}
