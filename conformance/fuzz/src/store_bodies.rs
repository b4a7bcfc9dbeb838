//! What must hold for any bytes that are given as a backup or as exported accounts: they are refused, or read to the end.

use super::admin::portable::PieceReader;
use super::store::BackupReader;

/// Target `backup`.
pub fn backup(data: &[u8]) {
    let Ok(mut reader) = BackupReader::open(data) else {
        return;
    };
    while let Ok(true) = reader.next(|_, _| Ok(())) {}
}

/// Target `portable`: XEP-0227.
pub fn portable(data: &[u8]) {
    let mut reader = PieceReader::of(data.to_vec());
    while let Ok(Some(_)) = reader.next_piece() {}
}
