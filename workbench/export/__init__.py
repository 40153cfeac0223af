"""Taking a tuned model home: the adapter as one zip, the merged model as one folder, each with a card that says how."""
