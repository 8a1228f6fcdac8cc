//! One file of an image: rows as an Arrow IPC file, flushed to disk and checksummed while they are written.

use std::fs::File;
use std::hash::Hasher;
use std::io::{self, BufWriter, Cursor, Read, Write};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;
use siphasher::sip::SipHasher13;

use crate::error::Error;
use laminardb_dataflow::CancelToken;

/// Number of rows written at a time; the caller can cancel between two pieces.
const PIECE_ROWS: usize = 1 << 16;

/// Number of bytes after which the file is flushed to disk, so that no single flush takes long.
const SYNC_BYTES: u64 = 16 << 20;

/// Number of bytes read at a time.
const READ_BYTES: usize = 4 << 20;

/// What the manifest records about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) file: String,
    pub(super) bytes: u64,
    pub(super) rows: u64,
    pub(super) checksum: String,
}

/// Returns the checksum of `bytes` as text.
pub(super) fn checksum(bytes: &[u8]) -> String {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    text(&hasher)
}

fn text(hasher: &SipHasher13) -> String {
    format!("{:016x}", hasher.finish())
}

/// Makes the error for an operation on `path`; `what` names the operation.
pub(super) fn failed(what: &str, path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::CheckpointFailed(format!("cannot {what} {}: {error}", path.display()))
}

/// Flushes the names in a folder to disk.
pub(super) fn sync_folder(path: &Path) -> Result<(), Error> {
    // Only Unix can open folders as files; elsewhere, names are as durable as the file system makes them.
    #[cfg(unix)]
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| failed("write", path, &error))?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Writes a whole new file and flushes it to disk.
pub(super) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| failed("write", path, &error))
}

/// A writer that computes the checksum of the bytes written.
struct Summing {
    out: BufWriter<File>,
    hasher: SipHasher13,
    bytes: u64,
    synced: u64,
}

impl Write for Summing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.write(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Summing {
    fn sync(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.synced = self.bytes;
        self.out.get_ref().sync_all()
    }
}

/// Writes rows of `schema` to the new file `name` in `folder`. Fails if the file exists or the caller cancels.
pub(super) fn write_rows(
    folder: &Path,
    name: String,
    schema: &SchemaRef,
    batches: impl Iterator<Item = RecordBatch>,
    cancel: &CancelToken,
) -> Result<Stored, Error> {
    let path = folder.join(&name);
    let failed = |error: &dyn std::fmt::Display| failed("write", &path, error);
    let file = File::create_new(&path).map_err(|error| failed(&error))?;
    let out = Summing { out: BufWriter::new(file), hasher: SipHasher13::new(), bytes: 0, synced: 0 };
    let mut writer = FileWriter::try_new(out, schema).map_err(|error| failed(&error))?;
    let mut rows = 0;
    for batch in batches {
        for start in (0..batch.num_rows()).step_by(PIECE_ROWS) {
            cancel.check()?;
            let piece = batch.slice(start, PIECE_ROWS.min(batch.num_rows() - start));
            writer.write(&piece).map_err(|error| failed(&error))?;
            rows += piece.num_rows() as u64;
            if writer.get_ref().bytes - writer.get_ref().synced >= SYNC_BYTES {
                writer.get_mut().sync().map_err(|error| failed(&error))?;
            }
        }
    }
    writer.finish().map_err(|error| failed(&error))?;
    let mut out = writer.into_inner().map_err(|error| failed(&error))?;
    out.sync().map_err(|error| failed(&error))?;
    Ok(Stored { file: name, bytes: out.bytes, rows, checksum: text(&out.hasher) })
}

/// Reads the rows of a file; fails if its size, checksum or number of rows differ from `stored`.
pub(super) fn read_rows(
    folder: &Path,
    stored: &Stored,
    cancel: &CancelToken,
) -> Result<(SchemaRef, Vec<RecordBatch>), Error> {
    let path = folder.join(&stored.file);
    let damaged = |why: String| Error::CheckpointFailed(format!("{} is damaged: {why}", path.display()));
    let bytes = read_summed(&path, stored, cancel)?;
    let unreadable = |error: arrow::error::ArrowError| damaged(error.to_string());
    let reader = FileReader::try_new(Cursor::new(bytes), None).map_err(unreadable)?;
    let schema = reader.schema();
    let mut batches = Vec::with_capacity(reader.num_batches());
    for batch in reader {
        cancel.check()?;
        batches.push(batch.map_err(unreadable)?);
    }
    let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    if rows != stored.rows {
        return Err(damaged(format!("it has {rows} rows, not {}", stored.rows)));
    }
    Ok((schema, batches))
}

/// Reads the bytes of a file; fails if their number or checksum differs from `stored`.
fn read_summed(path: &Path, stored: &Stored, cancel: &CancelToken) -> Result<Vec<u8>, Error> {
    let unreadable = |error: io::Error| failed("read", path, &error);
    let damaged = |why: String| Error::CheckpointFailed(format!("{} is damaged: {why}", path.display()));
    let mut file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    if length != stored.bytes {
        return Err(damaged(format!("it has {length} bytes, not {}", stored.bytes)));
    }
    let mut bytes = Vec::new();
    let mut hasher = SipHasher13::new();
    loop {
        cancel.check()?;
        let start = bytes.len();
        let read = (&mut file).take(READ_BYTES as u64).read_to_end(&mut bytes).map_err(unreadable)?;
        if read == 0 {
            break;
        }
        hasher.write(&bytes[start..]);
    }
    if bytes.len() as u64 == stored.bytes && text(&hasher) == stored.checksum {
        Ok(bytes)
    } else {
        Err(damaged("its checksum is another".to_owned()))
    }
}
