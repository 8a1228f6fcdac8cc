//! Statements, and errors at their positions.
