//! The stream machine: header, features, STARTTLS, SASL, bind, acknowledgements. No socket, no clock, no `async`.
