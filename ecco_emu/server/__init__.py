"""The edge server: sessions with cameras, retraining jobs, retraining windows, students by hash."""
