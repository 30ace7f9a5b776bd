"""What a person is shown of a run: HTML report, figures, the story in words, the view in the terminal."""
