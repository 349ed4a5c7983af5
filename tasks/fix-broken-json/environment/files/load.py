import json

print(json.load(open('settings.json'))['service'], 'is configured')
